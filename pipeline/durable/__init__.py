"""The protocol that makes rows come out exactly once. Its steps are generators: they do no I/O themselves."""

"""How processes start, stop and die: the coordinator of a run, watchdogs, signals."""

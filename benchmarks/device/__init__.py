"""The sections of `benchmarks.device_session`: what only a GPU can tell, each question in a file."""

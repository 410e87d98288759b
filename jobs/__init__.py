"""Entry points: parse the command line, load the configuration, make one call, give an exit code."""

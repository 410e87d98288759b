"""Entry points: parse the command line, load the configuration, make one call, give an exit code."""

__version__ = "0.1.0"

"""Checks before any weights are loaded: of the job and its plan, for a dry run, and for `doctor`."""

"""The job of some seconds that the command line is tested with."""

from tests.jobs.conftest import job_file

__all__ = ["job_file"]

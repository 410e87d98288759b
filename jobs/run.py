"""`python -m jobs run`: run a job to its end."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from jobs.arguments import Config, Overrides, exit_codes, writing_output
from jobs.terminal import Terminal
from pipeline.supervision.signals import ending_at_once

if TYPE_CHECKING:
    from pipeline.reporting.report import Report

Extend = Annotated[
    bool, typer.Option("--extend", help="Also run the input files that came after the job had begun.")
]


def run(config: Config, overrides: Overrides = None, extend: Extend = False) -> None:
    """Run a job: every input row comes out exactly once, as a result or as an error with a code.

    Run the same command again after a kill or a failure: it does only what is missing.

    Exit codes:

    0 - done

    1 - the machine failed: run it again

    2 - bad configuration or input: mend it first

    3 - more error rows than errors.max_error_rate: everything is published all the same

    75 - interrupted: run it again
    """
    with exit_codes():
        with ending_at_once():
            from pipeline.config.job import JobConfig
            from pipeline.run import run as run_job

            job = JobConfig.load(config, overrides)
        report = run_job(job, extend=extend)
        with writing_output():
            show(report)


def show(report: "Report") -> None:
    table = Table(title=report.job, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in report.facts():
        table.add_row(name, value)
    Terminal().print(table, soft_wrap=True)

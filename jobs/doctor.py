"""`python -m jobs doctor`: is everything there that a job needs?"""

import typer

from jobs.arguments import Config, Overrides, exit_codes, writing_output
from jobs.terminal import Terminal

STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(config: Config, overrides: Overrides = None) -> None:
    """Check versions, checkpoint, input, output, disks and cluster, and say what to do.

    Computes nothing; writes a probe to the output folder. Exit code 2 if there is a problem.
    """
    with exit_codes():
        from pipeline.config.job import JobConfig
        from pipeline.preflight.doctor import examine

        job = JobConfig.load(config, overrides)
        console = Terminal()
        problems = 0
        for finding in examine(job):
            problems += finding.level == "problem"
            with writing_output():
                console.print(f"{finding.level:8}", style=STYLES[finding.level], end="")
                console.print(f"{finding.what:11}{finding.text}", soft_wrap=True)
        if problems:
            raise typer.Exit(2)

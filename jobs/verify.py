"""`python -m jobs verify`: is everything in an output folder what jobs wrote there?"""

from typing import TYPE_CHECKING, Annotated

import typer

from jobs.arguments import exit_codes, writing_output

if TYPE_CHECKING:
    from pipeline.output.verified import Verified

Output = Annotated[
    str, typer.Argument(metavar="OUT", help="The output folder of a job, or its URL.", show_default=False)
]


def verify(output: Output) -> None:
    """Check that an output folder holds, byte for byte, what its job wrote there.

    Every part is read and checked by its hash, its rows by the plan, and the router tables and the report by
    the parts. Names each damaged file in a line of its own, and what to do. Changes nothing; the job may run
    meanwhile.

    Exit codes:

    0 - all that is there is what was written, of a finished job or of one that will go on

    1 - something could not be read: run it again

    2 - files are damaged or missing, or no job wrote there
    """
    with exit_codes():
        from pipeline.config.section import location
        from pipeline.errors import ConfigError, how_many
        from pipeline.output.verified import Verified
        from pipeline.output.verify import verify as verify_output
        from pipeline.reporting.check_progress import CheckProgress
        from pipeline.storage.open_store import open_store

        store = open_store(location(output, "OUT"))
        found = Verified()
        try:
            with CheckProgress() as progress:
                verify_output(store, found, progress)
        except BaseException:
            _print(_damage(found))
            raise
        _print(_damage(found) or [_all_is_well(found, store.url())])
        if found.damage:
            raise ConfigError(f"{store.url()}: {how_many(len(found.damage), 'damaged file')}, named above")


def _print(lines: list[str]) -> None:
    from pipeline.errors import shown

    with writing_output():
        for line in lines:
            print(shown(line))


def _damage(found: "Verified") -> list[str]:
    lines = [f"{one.path}: {one.what}" for one in found.damage]
    by_remedy: dict[str, list[str]] = {}
    for one in found.damage:
        by_remedy.setdefault(one.remedy, []).append(one.path)
    for remedy, paths in by_remedy.items():
        more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        lines.append(f"what to do about {paths[0]}{more}: {remedy}")
    return lines


def _all_is_well(found: "Verified", output: str) -> str:
    from pipeline.errors import how_many

    parts, rows = how_many(found.parts, "part"), how_many(found.rows, "row")
    checked = (
        f"{output}: {parts} with {rows} ({found.size:,} bytes) were checked by their hashes, their rows by "
        "the plan, and the router tables by the parts: all is what was written"
    )
    if found.finished:
        return (
            f"{checked}. The job is finished: _SUCCESS, router/ and report.json are what the parts add up to"
        )
    if found.to_do:
        return f"{checked}. The job is not finished, to do: {how_many(found.to_do, 'shard')}"
    return f"{checked}. The job has no _SUCCESS yet: run it again, nothing is to be computed"

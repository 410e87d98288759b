"""Which of the files that a listing found are taken; each of the others gets the reason why not."""

from collections.abc import Iterator

from pipeline.errors import ConfigError
from pipeline.reading.formats import endings, format_by_name
from pipeline.reading.listing import Listed, Listing, NothingFound
from pipeline.reading.not_taken import NotTaken, PassedOver, Reason
from pipeline.reading.other_formats import how_to_convert
from pipeline.storage.credentials import named
from pipeline.storage.output_folder import PARTS, SPEC, output_folders, within

# `datasets` and hubs leave these beside the data, and `save_to_disk` the last one where one of the others is.
_DESCRIBE = ("dataset_info.json", "dataset_infos.json")
_STATE = "state.json"


def sift(listing: Listing, given: str, format: str) -> tuple[list[Listed], list[PassedOver]]:
    """What is taken, and what is not; `format` is `input.format`. A file that is named itself is taken.

    NothingFound if nothing is taken; ConfigError if the folder is the output folder of a job.
    """
    if listing.is_file:
        return listing.files, []
    if listing.exists(f"{listing.base}/{SPEC}"):
        raise ConfigError(
            f"input.path: {named(given)}: the output folder of a job, as its _job shows, is no input as a "
            f"whole; its rows are in {named(listing.base.removeprefix('file://'))}/{PARTS}"
        )
    outputs = output_folders((file.url for file in listing.files), listing.base, listing.exists)
    taken = []
    passed_over = [
        _of_output(one, outputs)
        for one in listing.passed_over
        if not any(within(one.path, output) for output in outputs)
    ]
    for file, reason in _reasons(listing, outputs, format):
        if reason is None:
            taken.append(file)
        else:
            passed_over.append(reason)
    if not taken:
        raise _nothing(listing, given, format, passed_over)
    return taken, passed_over


def _reasons(listing: Listing, outputs: set[str], format: str) -> Iterator[tuple[Listed, PassedOver | None]]:
    """Each file with the reason why it is not taken."""
    pattern = listing.pattern
    names_parts = pattern is not None and PARTS in pattern.below
    urls = (file.url.rpartition("/") for file in listing.files)
    described = {folder for folder, _, name in urls if name in _DESCRIBE}
    for file in listing.files:
        folder, _, name = file.url.rpartition("/")
        output = next((one for one in outputs if within(file.url, one)), None)
        if output and not (names_parts and within(file.url, f"{output}/{PARTS}")):
            yield file, PassedOver(Reason.OUTPUT, f"{output}/")
        elif name in _DESCRIBE or (name == _STATE and folder in described):
            yield file, PassedOver(Reason.DESCRIBES, file.url)
        elif pattern is not None or format_by_name(name) == format:
            yield file, None
        elif format_by_name(name) is None:
            yield file, PassedOver(Reason.ENDING, file.url)
        else:
            yield file, None if format == "auto" else PassedOver(Reason.FORMAT, file.url)


def _of_output(one: PassedOver, outputs: set[str]) -> PassedOver:
    """A second name of what is in an output folder, which is not read by the other name either."""
    in_output = one.instead and any(within(one.instead, output) for output in outputs)
    return PassedOver(Reason.OUTPUT, one.path) if in_output else one


def _nothing(listing: Listing, given: str, format: str, passed_over: list[PassedOver]) -> NothingFound:
    what = "no file has such a name" if listing.pattern else f"no {endings(format)} in this folder"
    if listing.pattern and any("[" in part.replace("[[]", "") for part in listing.pattern.below):
        what += " (a [ that names have themselves is written [[])"
    left = NotTaken.of((one.reason, one.path.removeprefix(f"{listing.base}/")) for one in passed_over)
    hint = next(filter(None, map(how_to_convert, sorted(one.path for one in passed_over))), None)
    more = f"; {hint}" if hint else f"; not taken: {left}" if left else ""
    return NothingFound(f"input.path: {named(given)}: {what}{more}", listing.base, passed_over)

"""Files in formats that are not read yet, each with what turns it into one that is."""

from pathlib import PurePosixPath

_SEPARATORS = {".csv": "", ".tsv": ", sep='\\t'"}
_COMPRESSED = (".gz", ".zst", ".bz2", ".zip", ".xz")


def how_to_convert(name: str) -> str | None:
    """A sentence for a table in text; None for all other files."""
    path = PurePosixPath(name)
    plain = path.with_suffix("") if path.suffix in _COMPRESSED else path
    separator = _SEPARATORS.get(plain.suffix.lower())
    if separator is None:
        return None
    to = plain.with_suffix(".parquet").name
    return (
        f"{plain.suffix[1:].upper()} is not read yet: turn it into Parquet, for example with: "
        f"python -c \"import pandas; pandas.read_csv('{path.name}'{separator}).to_parquet('{to}')\""
    )

"""Files in formats that are not read yet, each with what turns it into one that is."""

import re
from pathlib import PurePosixPath

_SEPARATORS = {".csv": "", ".tsv": ", sep='\\t'"}
_COMPRESSED = (".gz", ".zst", ".bz2", ".zip", ".xz")
_PLAIN = re.compile(r"[\w.+=,-]+")  # a name in which neither a shell nor Python sees more than a name


def how_to_convert(name: str) -> str | None:
    """A sentence for a table in text; None for all other files."""
    path = PurePosixPath(name)
    packed = path.suffix if path.suffix.lower() in _COMPRESSED else ""
    plain = path.with_suffix("") if packed else path
    separator = _SEPARATORS.get(plain.suffix.lower())
    if separator is None:
        return None
    stem = plain.stem if _PLAIN.fullmatch(plain.stem) else "FILE"
    return (
        f"{plain.suffix[1:].upper()} is not read yet: turn it into Parquet, for example with: "
        f"python -c \"import pandas; pandas.read_csv('{stem}{plain.suffix}{packed}'{separator})"
        f".to_parquet('{stem}.parquet')\""
    )

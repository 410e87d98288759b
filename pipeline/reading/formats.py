"""What a file's name tells: its format and how it is compressed. Upper and lower case mean the same."""

from pathlib import PurePosixPath
from typing import Literal

Format = Literal["jsonl", "parquet"]
Compression = Literal["gzip", "zstd", "bzip2", "xz"]

FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
}  # fmt: skip
COMPRESSED: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz"}


def compression(name: str) -> Compression | None:
    """How a file is compressed."""
    return COMPRESSED.get(PurePosixPath(name).suffix.lower())


def format_by_name(name: str) -> Format | None:
    """jsonl or parquet by the name's ending; only that of JSONL may be followed by one of COMPRESSED."""
    path = PurePosixPath(name)
    if compression(name) is None:
        return FORMATS.get(path.suffix.lower())
    return "jsonl" if FORMATS.get(path.with_suffix("").suffix.lower()) == "jsonl" else None


def endings(format: str) -> str:
    """The endings that are looked for in a folder, for a sentence; `format` is `input.format`."""
    told: dict[str, str] = {}
    for ending, its in FORMATS.items():
        told[its] = f"{told[its]}, *{ending}" if its in told else f"*{ending}"
    told["jsonl"] += f" (also {', '.join(COMPRESSED)})"
    return told.get(format) or " or ".join(told.values())

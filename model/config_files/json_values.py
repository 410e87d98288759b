"""Values of a checkpoint's JSON files, checked: what is wrong is a ValueError that names file and key."""

import json
from pathlib import Path
from typing import Any

_LARGEST_JSON = 64 << 20  # bytes of a config or an index
_LARGEST_NUMBER = 1e30


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; ValueError if it holds anything else, or far more than it should."""
    if path.stat().st_size > _LARGEST_JSON:
        raise ValueError(f"{path}: must be at most {_LARGEST_JSON >> 20} MiB large")
    return parsed_object(path.read_bytes(), str(path))


def parsed_object(content: bytes, source: str) -> dict[str, Any]:
    """The JSON object in these bytes; ValueError that names `source` if they are anything else."""
    try:
        data = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source}: not valid JSON") from error
    if not isinstance(data, dict):
        raise ValueError(f"{source}: must hold a JSON object, got {type(data).__name__}")
    return data


def positive_integer(value: Any, key: str, largest: int, source: str) -> int:
    if type(value) is not int or not 1 <= value <= largest:
        raise ValueError(f"{source}: {key} must be a positive integer up to {largest}, got {short(value)}")
    return value


def positive_number(value: Any, key: str, source: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LARGEST_NUMBER:
        raise ValueError(f"{source}: {key} must be a positive number, got {short(value)}")
    return float(value)


def flag(data: dict[str, Any], key: str, source: str) -> bool:
    value = data.get(key) or False
    if not isinstance(value, bool):
        raise ValueError(f"{source}: {key} must be true or false, got {short(value)}")
    return value


def short(value: Any) -> str:
    """For a message: the value may be a megabyte, or nested beyond what `repr` can follow."""
    return type(value).__name__ if isinstance(value, list | dict) else repr(value)[:60]

"""One line of a JSONL file as a record, or as a RowError with the reason why it is none."""

import json
import re
from typing import Any

import orjson

from pipeline.errors import RowError, RowErrorCode
from pipeline.reading.streams import LINE_CAP

BIG_INTEGER = float(1 << 63)
_LONG_INTEGER = re.compile(rb"[0-9]{19}")
MAX_DEPTH = 200  # of nested lists and objects: records are written back by recursion


def parse_line(line: bytes | None) -> dict[str, Any]:
    """The JSON object on a line; RowError if it is anything else. None is a line that was too long.

    The last of duplicate keys wins. Messages give an offset, never the text.
    """
    if line is None:
        raise RowError(RowErrorCode.LINE_TOO_LONG, f"the line is longer than {LINE_CAP} bytes")
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _reason(line, error) from None
    if not isinstance(record, dict):
        raise RowError(RowErrorCode.NOT_AN_OBJECT, f"the line is a JSON {_json_type(record)}, not an object")
    if line.count(b"[") + line.count(b"{") > MAX_DEPTH and _depth(record) > MAX_DEPTH:
        raise RowError(RowErrorCode.MALFORMED_JSON, f"the line is nested more than {MAX_DEPTH} deep")
    values = record.values()
    if any(type(value) is float and abs(value) >= BIG_INTEGER for value in values) or (
        any(isinstance(value, list | dict) for value in values) and _LONG_INTEGER.search(line)
    ):
        return _with_exact_integers(line, record)
    return record


def _reason(line: bytes, error: orjson.JSONDecodeError) -> RowError:
    if not line.strip():
        return RowError(RowErrorCode.EMPTY_LINE, "the line is blank")
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as bad:
        return RowError(RowErrorCode.INVALID_UTF8, f"not valid UTF-8 at byte {bad.start}")
    if name := _number_beyond_json(line):
        message = f"{name} is no JSON: write null, or leave the key out"
        return RowError(RowErrorCode.MALFORMED_JSON, message)
    return RowError(RowErrorCode.MALFORMED_JSON, f"not valid JSON at character {error.pos}: {error.msg}")


def _number_beyond_json(line: bytes) -> str | None:
    """NaN, Infinity or -Infinity, if one of them is all that is wrong with the line."""
    found: list[str] = []
    try:
        json.loads(line, parse_constant=found.append)
    except (ValueError, RecursionError):
        return None
    return found[0] if found else None


def _depth(value: Any) -> int:
    """How deeply lists and objects are nested in each other."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            item
            for parent in level
            for item in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(item, dict | list)
        ]
    return depth


def _with_exact_integers(line: bytes, record: dict[str, Any]) -> dict[str, Any]:
    """The record with exact integers: orjson rounds those beyond 64 bits, and two ids could become one."""
    try:
        exact: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError):
        return record  # json refuses integers of thousands of digits, and very deep nesting
    return exact


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    return {bool: "boolean", str: "string", list: "array"}.get(type(value), "number")

"""Lines that are no JSON objects, or odd ones."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.hostile.case import OK, Case, write_lines

GOOD = b'{"text": "a"}'
DEEP = 100_000
MALFORMED = "MALFORMED_JSON"


def lines(*given: bytes) -> Callable[[Path], None]:
    return lambda folder: write_lines(folder, *given)


def raw(data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "in" / "a.jsonl").write_bytes(data) and None


def nested(depth: int) -> bytes:
    return b'{"text": "a", "deep": ' + b"[" * depth + b"]" * depth + b"}"


JSON_LINES = {
    "malformed among good": Case(
        lines(GOOD, b'{"text": "a"', b"{text: 1}", b'{"text": "a"} {}', b"text", GOOD),
        rows=[OK, MALFORMED, MALFORMED, MALFORMED, MALFORMED, OK],
    ),
    "100,000 malformed lines": Case(raw(b'{"text": \n' * 100_000 + GOOD), rows=[MALFORMED] * 100_000 + [OK]),
    "not objects": Case(
        lines(GOOD, b"[1]", b"1", b'"a"', b"null", b"true"), rows=[OK, *["NOT_AN_OBJECT"] * 5]
    ),
    "brackets 100,000 deep": Case(
        lines(GOOD, b"[" * DEEP, b'{"text":' * DEEP, nested(DEEP)), rows=[OK] + [MALFORMED] * 3
    ),
    "nested as deep as may be, and one deeper": Case(
        lambda folder: (
            write_lines(folder, nested(199), nested(200), nested(900)) or {"input": {"keep": ["deep"]}}
        ),
        rows=[OK, MALFORMED, MALFORMED],
        columns={"keep.deep": ["[" * 199 + "]" * 199, None, None]},
    ),
    "a line of 9 MiB between good ones": Case(
        lines(GOOD, b'{"text": "' + b"x" * (9 << 20) + b'"}', GOOD), rows=[OK, "LINE_TOO_LONG", OK]
    ),
    "a prompt of 1 MiB": Case(lines(b'{"text": "' + b"x y " * (1 << 18) + b'"}'), rows=["PROMPT_TOO_LONG"]),
    "bad UTF-8": Case(
        lines(b'{"text": "\xff"}', b"\xc3\x28", b'{"text": "\xed\xa0\x80"}', b'{"text": "\xc0\x80"}', GOOD),
        rows=["INVALID_UTF8"] * 4 + [OK],
    ),
    "lone surrogates in escapes": Case(
        lines(b'{"text": "\\ud800"}', b'{"text": "\\udc00\\ud800"}', b'{"text": "\\ud83d\\ude00"}'),
        rows=["INVALID_UTF8", "INVALID_UTF8", OK],
        columns={"prompt": [None, None, "\U0001f600"]},
    ),
    "NUL bytes and characters": Case(
        lines(b'{"text": "a\x00"}', b"\x00" * 1000, b'{"text": "a\\u0000b"}'),
        rows=[MALFORMED, MALFORMED, OK],
        columns={"prompt": [None, None, "a\x00b"]},
    ),
    "NaN and infinities": Case(
        lines(
            *(b'{"text": "a", "x": %s}' % x for x in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"nan"))
        ),
        rows=[MALFORMED] * 5,
    ),
    "the last of duplicate keys wins": Case(
        lines(b'{"text": "a", "text": "b"}', b'{"text": "a", "text": null}'),
        rows=[OK, "NULL_PROMPT"],
        columns={"prompt": ["b", None]},
    ),
    "line separators that are no ends of lines": Case(
        lines('{"text": "a\u2028b\u2029c\u0085d"}'.encode(), b'{"text": "a\rb"}'),
        rows=[OK, MALFORMED],
        columns={"prompt": ["a\u2028b\u2029c\u0085d", None]},
    ),
    "lines that end in CRLF": Case(
        raw(b'{"text": "a"}\r\n\r\n{"text": "b"}\r\n\r\n'), rows=[OK, "EMPTY_LINE", OK]
    ),
    "lines that end in CR alone are one line": Case(raw(b'{"text": "a"}\r{"text": "b"}\r'), rows=[MALFORMED]),
    "a BOM at the start, and in the middle": Case(
        lines(b"\xef\xbb\xbf" + GOOD, b"\xef\xbb\xbf" + GOOD, GOOD), rows=[OK, MALFORMED, OK]
    ),
    "only a BOM": Case(raw(b"\xef\xbb\xbf"), rows=["EMPTY_LINE"]),
    "UTF-16": Case(
        raw('{"text": "a"}\n{"text": "b"}\n'.encode("utf-16")), rows=["INVALID_UTF8", MALFORMED, MALFORMED]
    ),
    "a JSON array": Case(raw(b'[\n{"text": "a"},\n{"text": "b"}\n]\n'), refused="this is a JSON array"),
    "an array in one line": Case(raw(b'[{"text": "a"}]'), refused="this is a JSON array"),
    "an empty file": Case(raw(b""), refused="none of its files has a row"),
    "only newlines": Case(raw(b"\n" * 5000), refused="none of its files has a row"),
    "newlines before the only row": Case(raw(b"\n" * 5000 + GOOD), rows=[*["EMPTY_LINE"] * 5000, OK]),
    "no newline at the end": Case(raw(GOOD + b"\n" + GOOD), rows=[OK, OK]),
    "a million empty objects' keys": Case(
        lines(b"{" + b",".join(b'"k%d": {}' % n for n in range(100_000)) + b', "text": "a"}'), rows=[OK]
    ),
    "no object has the column": Case(lines(b'{"body": "a"}'), refused="no column 'text' in a.jsonl"),
    "no object has the column, but names of 7 MB and of escapes, and a thousand others": Case(
        lines(
            json.dumps({"x" * 7_000_000: 1, "\0" * 500: 1}).encode(),
            json.dumps(dict.fromkeys(map(str, range(1000)))).encode(),
        ),
        refused=r"(?s)^(?=.{,1000}$).* 'x{58}…, '(\\x00){14}\\x…, '0', '1', .* and 952 more$",
    ),
    "the column comes and goes": Case(
        lines(GOOD, b"{}", b'{"Text": "a"}'), rows=[OK, *["MISSING_COLUMN"] * 2]
    ),
}

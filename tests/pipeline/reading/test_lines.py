import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RowError, RowErrorCode
from pipeline.reading.lines import parse_line


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (None, RowErrorCode.LINE_TOO_LONG),
        (b"", RowErrorCode.EMPTY_LINE),
        (b" \t\r", RowErrorCode.EMPTY_LINE),
        (b'{"text": "\xff"}', RowErrorCode.INVALID_UTF8),
        (b"\xff\xfe{\x00}\x00", RowErrorCode.INVALID_UTF8),
        (b'{"canary": tru', RowErrorCode.MALFORMED_JSON),
        (b'{"a": "\\ud800"}', RowErrorCode.INVALID_UTF8),
        (b'{"a": NaN}', RowErrorCode.MALFORMED_JSON),
        (b'{"a": 1} {"a": 2}', RowErrorCode.MALFORMED_JSON),
        (b"[" * 100_000, RowErrorCode.MALFORMED_JSON),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, RowErrorCode.MALFORMED_JSON),
        (b"[1, 2]", RowErrorCode.NOT_AN_OBJECT),
        (b'"canary"', RowErrorCode.NOT_AN_OBJECT),
        (b"null", RowErrorCode.NOT_AN_OBJECT),
    ],
)
def test_lines_that_are_no_record_have_a_code_and_no_text_in_the_message(
    line: bytes | None, code: RowErrorCode
) -> None:
    with pytest.raises(RowError) as refused:
        parse_line(line)
    assert refused.value.code == code
    assert "canary" not in refused.value.message


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_lacks_is_named(number: str) -> None:
    with pytest.raises(RowError) as refused:
        parse_line(b'{"text": "NaN", "a": [1, {"b": %s}]}' % number.encode())
    assert refused.value.code is RowErrorCode.MALFORMED_JSON
    assert refused.value.message == f"{number} is no JSON: write null, or leave the key out"
    with pytest.raises(RowError, match="not valid JSON at character"):
        parse_line(b'{"a": %s, "b": ' % number.encode())


def test_integers_beyond_64_bits_stay_exact() -> None:
    assert parse_line(b'{"id": 123456789012345678901, "x": 1e30, "s": "007"}') == {
        "id": 123456789012345678901, "x": 1e30, "s": "007",
    }  # fmt: skip


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text()))
def test_what_json_can_say_comes_back(record: dict[str, Any]) -> None:
    assert parse_line(orjson.dumps(record)) == record


@given(st.binary())
def test_no_bytes_crash_the_parser(line: bytes) -> None:
    with contextlib.suppress(RowError):
        assert isinstance(parse_line(line), dict)

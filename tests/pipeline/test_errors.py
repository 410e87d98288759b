"""What of an exception may be told: kinds and locations always, words only where they quote no row."""

import pickle

import pytest

from pipeline.errors import (
    ConfigError,
    Interrupted,
    JobError,
    RowError,
    RowErrorCode,
    TooManyErrors,
    describe_without_message,
    hide_row_text,
    printable,
    shortened,
    shown,
)

CANARY = "canary-9f3"


def raised_by(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_each_kind_of_end_has_its_exit_code() -> None:
    ends = (JobError("x"), ConfigError("x"), TooManyErrors("x", report=None), Interrupted())
    assert [end.exit_code for end in ends] == [1, 2, 3, 75]


def test_a_row_error_carries_its_code_and_message() -> None:
    error = RowError(RowErrorCode.EMPTY_PROMPT, "nothing there")
    assert (error.code, error.message, str(error)) == (
        "EMPTY_PROMPT",
        "nothing there",
        "EMPTY_PROMPT: nothing there",
    )


def test_words_are_told_of_a_job_error_alone() -> None:
    told = describe_without_message(raised_by(ValueError(CANARY)))
    assert told.startswith("ValueError, raised at pipeline/test_errors.py:")
    assert CANARY not in told
    assert "JobError: no memory" in describe_without_message(raised_by(JobError("no memory")))


@pytest.mark.parametrize(
    "error", [ValueError(CANARY), KeyError(CANARY), RowError(RowErrorCode.WRONG_TYPE, CANARY)]
)
def test_an_unexpected_exception_leaves_as_a_job_error_that_names_the_shard(error: Exception) -> None:
    with pytest.raises(JobError, match=f"^shard s1: {type(error).__name__}") as found, hide_row_text("s1"):
        raise error
    assert CANARY not in str(found.value)
    assert found.value.__cause__ is None, "Ray would print it"
    assert found.value.__suppress_context__


@pytest.mark.parametrize(
    "error", [ConfigError("input.path: gone"), OSError("disk full"), MemoryError("no memory")]
)
def test_errors_of_the_job_of_files_and_of_memory_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as found, hide_row_text("s1"):
        raise error
    assert found.value is error


def test_long_texts_are_cut() -> None:
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 59 + "…"


def test_what_a_terminal_would_obey_or_cannot_print_is_escaped() -> None:
    assert printable("a\x1b[31m\r\x9b\x00\u202e\u2028") == "a\\x1b[31m\\r\\x9b\\x00\\u202e\\u2028"
    assert printable("caf\udce9 \ud83d") == "caf\\xe9 \\ud83d", "a byte that is not UTF-8, half a character"
    plain = "é😀 👩\u200d💻 \u3000\xa0\n\t[/5] {{ x }} \\x1b"
    assert printable(plain) == plain
    assert shown("a\nb\tc\x07") == "a\\nb\\tc\\x07"


def test_the_message_of_a_job_error_is_printable_wherever_it_is_raised() -> None:
    error = pickle.loads(pickle.dumps(ConfigError("input.path: \x1b[2J\udce9")))
    assert str(error) == "input.path: \\x1b[2J\\xe9"

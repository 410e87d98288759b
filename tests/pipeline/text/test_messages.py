from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.messages import parse_messages


def user(content: object = "Hi") -> dict[str, object]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("messages", "part"),
    [
        ([], "at least one"),
        (["SECRET"], "message 0 must be an object"),
        ([None], "message 0 must be an object"),
        ([{"content": "SECRET"}], "message 0 has no role"),
        ([user(), {"role": "user", "SECRET": 1}], "message 1 has no content"),
        ([{"role": "SECRET", "content": "SECRET"}], "role of message 0"),
        ([{"role": ["user"], "content": "SECRET"}], "role of message 0"),
        ([{"role": "tool", "content": "SECRET"}], "role of message 0"),
        ([user(), user(None)], "message 1 must be a string or a list of text parts, got null"),
        ([user({"SECRET": 1})], "got dict"),
        ([user(["SECRET"])], "every part of message 0"),
        ([user([{"type": "image_url", "image_url": "SECRET"}])], "every part of message 0"),
        ([user([{"type": "text", "text": 3}])], "every part of message 0"),
        ([user("SECRET"), {"role": "assistant", "content": "SECRET"}], "last message"),
        ([{"role": "assistant", "content": "SECRET"}], "last message"),
        ([user(), {"role": "assistant", "content": ""}, user()], "message 1 is an empty assistant"),
        (
            [user(), {"role": "assistant", "content": "x"}, {"role": "system", "content": "x"}, user()],
            "message 2",
        ),
        ([user(), {"role": "assistant", "content": "x", "prefix": True}], "prefix"),
        ([user(), {"role": "assistant", "content": "x", "tool_calls": [{}]}, user()], "tool_calls"),
    ],
)
def test_bad_messages_are_told_apart_without_quoting_them(messages: list[object], part: str) -> None:
    with pytest.raises(RowError) as caught:
        parse_messages(messages)
    assert caught.value.code is RowErrorCode.BAD_MESSAGES
    assert part in caught.value.message
    assert "SECRET" not in caught.value.message


def test_the_assistant_has_the_last_word_where_no_answer_follows() -> None:
    conversation = [user(), {"role": "assistant", "content": "x"}]
    assert [message.role for message in parse_messages(conversation, answer_follows=False)] == [
        "user",
        "assistant",
    ]
    with pytest.raises(RowError, match="last message must come from the user"):
        parse_messages(conversation)
    with pytest.raises(RowError, match="empty assistant message"):
        parse_messages([user(), {"role": "assistant", "content": ""}], answer_follows=False)


def test_messages_that_are_no_list_have_the_wrong_type() -> None:
    with pytest.raises(RowError) as caught:
        parse_messages("Hi")
    assert caught.value.code is RowErrorCode.WRONG_TYPE


def test_keys_that_a_parquet_struct_adds_do_not_matter() -> None:
    message = {**user(), "tool_calls": None, "prefix": False, "id": 7}
    assert parse_messages([message]) == parse_messages([user()])


@settings(max_examples=100, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["role", "content", "type", "text"]), inner)
        ),
    )
)
def test_any_json_is_messages_or_a_row_error(value: object) -> None:
    with suppress(RowError):
        parse_messages(value)

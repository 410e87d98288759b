import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import mistral_common
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from pydantic import ValidationError

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.instruct import encode_messages, parse_messages
from pipeline.text.tokenization import Tokenizer
from pipeline.text.tokenizer_files import InstructVersion

DATA = Path(mistral_common.__file__).parent / "data"
FILES: dict[InstructVersion, str] = {
    "v1": "tokenizer.model.v1",
    "v2": "mistral_instruct_tokenizer_240216.model.v2",
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
}
ORACLES = {version: MistralTokenizer.from_file(str(DATA / name)) for version, name in FILES.items()}
Pair = tuple[InstructVersion, Tokenizer]

# fmt: off
SNIPPETS = [
    "", " ", "  ", "\n", "\n\n", "\t", "a", " a", "a ", "a  \n ", "Hello world", "Well", "naïve café",
    "日本語の文", "🦙", "👩🏽\u200d🚀", "עברית", "العربية", "\u0000", "\u00a0", "\u2581", "\u200b", "\ufeff",
    "\ufffd", "e\u0301", "[INST]", "[/INST]", " [/INST] ", "<s>", "</s>", "<unk>", "[TOOL_CALLS]", "<0x0A>",
    "[control_8]", "[REFERENCE_DOC_3]", "{{ x }}", "x" * 300, " " * 40, "1234567890",
    "def f(x):\n    return x\n", "https://example.org/?q=1",
]
# fmt: on


@pytest.fixture(scope="module", params=list(FILES))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    version: InstructVersion = request.param
    folder = tmp_path_factory.mktemp(version)
    shutil.copy(DATA / FILES[version], folder / f"tokenizer.model.{version}")
    return version, Tokenizer.load(folder)


def oracle(version: InstructVersion, messages: list[dict[str, Any]]) -> list[int] | None:
    """mistral-common's ids, None where it refuses the conversation."""
    try:
        request = ChatCompletionRequest(messages=messages)  # type: ignore[arg-type, type-var]
        return ORACLES[version].encode_chat_completion(request).tokens
    except (MistralCommonException, ValidationError):
        return None


def ours(pair: Pair, messages: Any) -> list[int] | None:
    try:
        return encode_messages(pair[1], pair[0], parse_messages(messages))
    except RowError:
        return None


def random_content(rng: random.Random) -> Any:
    text = "".join(rng.choices(SNIPPETS, k=rng.randrange(5)))
    if rng.random() < 0.8:
        return text
    texts = [rng.choice(SNIPPETS) for _ in range(rng.randrange(4))]
    return [{"type": "text", "text": text} for text in texts]


def test_random_conversations_equal_mistral_common(pair: Pair) -> None:
    rng = random.Random(20)
    accepted = 0
    for _ in range(2500):
        roles = rng.choices(["system", "user", "assistant"], [1, 3, 2], k=rng.randrange(7))
        if rng.random() < 0.7:
            roles.append("user")
        messages = [{"role": role, "content": random_content(rng)} for role in roles]
        expected = oracle(pair[0], messages)
        assert ours(pair, messages) == expected, messages
        accepted += expected is not None
    assert accepted > 1000


def test_alternating_conversations_equal_mistral_common(pair: Pair) -> None:
    rng = random.Random(21)
    for _ in range(1000):
        messages = [{"role": "system", "content": random_content(rng)}] if rng.random() < 0.5 else []
        for _ in range(rng.randrange(4)):
            messages += [
                {"role": "user", "content": random_content(rng)},
                {"role": "assistant", "content": "x" + "".join(rng.choices(SNIPPETS, k=3))},
            ]
        messages.append({"role": "user", "content": random_content(rng)})
        expected = oracle(pair[0], messages)
        assert expected is not None
        assert ours(pair, messages) == expected


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_any_unicode_equals_mistral_common(pair: Pair, texts: list[str]) -> None:
    if len(texts) % 2 == 0:
        texts = texts[1:]
    roles = ["user", "assistant"] * len(texts)
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    assert ours(pair, messages) == oracle(pair[0], messages)


def test_one_user_turn_in_v1(tmp_path: Path) -> None:
    shutil.copy(DATA / FILES["v1"], tmp_path / "tokenizer.model.v1")
    tokenizer = Tokenizer.load(tmp_path)
    messages = parse_messages([{"role": "user", "content": "Explain Machine Learning to me in a nutshell."}])
    # fmt: off
    assert encode_messages(tokenizer, "v1", messages) == [
        1, 733, 16289, 28793, 13702, 426, 13253, 17504, 298, 528, 297, 264, 21204, 13436, 28723, 733, 28748,
        16289, 28793,
    ]
    # fmt: on


def test_an_answer_is_encoded_on_its_own(tmp_path: Path) -> None:
    shutil.copy(DATA / FILES["v1"], tmp_path / "tokenizer.model.v1")
    tokenizer = Tokenizer.load(tmp_path)
    turns = [("user", "How are you?"), ("assistant", "Well"), ("user", "Good")]
    messages = parse_messages([{"role": role, "content": text} for role, text in turns])
    ids = encode_messages(tokenizer, "v1", messages)
    assert 4673 in ids
    assert 6824 not in ids


def user(content: object = "Hi") -> dict[str, object]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("messages", "part"),
    [
        ([], "at least one"),
        (["SECRET"], "message 0 must be an object"),
        ([None], "message 0 must be an object"),
        ([{"content": "SECRET"}], "role of message 0"),
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

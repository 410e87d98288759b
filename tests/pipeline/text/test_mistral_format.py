import random
import shutil
from pathlib import Path
from typing import Any

import mistral_common
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from pydantic import ValidationError

from pipeline.errors import RowError
from pipeline.text.messages import parse_messages
from pipeline.text.mistral_format import MistralFormat
from pipeline.text.tokenization import Tokenizer
from pipeline.text.vocabulary_file import InstructVersion

DATA = Path(mistral_common.__file__).parent / "data"
FILES: dict[InstructVersion, str] = {
    "v1": "tokenizer.model.v1",
    "v2": "mistral_instruct_tokenizer_240216.model.v2",
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
    "v7": "mistral_instruct_tokenizer_241114.model.v7",
}
ORACLES = {version: MistralTokenizer.from_file(str(DATA / name)) for version, name in FILES.items()}
ANSWERED = {
    version: MistralTokenizer.from_file(str(DATA / name), mode=ValidationMode.finetuning)
    for version, name in FILES.items()
}  # of conversations that end with an answer
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


def encode(version: InstructVersion, tokenizer: Tokenizer, messages: Any) -> list[int]:
    marked = [message.map(tokenizer.mark) for message in parse_messages(messages)]
    return MistralFormat(tokenizer, version, "", frozenset()).encode(marked)


@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize("turns", [1, 2])
def test_conversations_that_end_with_an_answer_equal_mistral_common(
    pair: Pair, system: bool, turns: int
) -> None:
    version, tokenizer = pair
    messages = [{"role": "system", "content": "Be kind."}] * system
    for turn in range(turns):
        messages += [
            {"role": "user", "content": f" Where is it? {turn}"},
            {"role": "assistant", "content": f"Here, </s> naïve {turn} "},
        ]
    request = ChatCompletionRequest(messages=messages)  # type: ignore[arg-type, type-var]
    expected = ANSWERED[version].encode_chat_completion(request).tokens
    marked = [one.map(tokenizer.mark) for one in parse_messages(messages, answer_follows=False)]
    assert MistralFormat(tokenizer, version, "", frozenset()).encode(marked) == expected


def ours(pair: Pair, messages: Any) -> list[int] | None:
    try:
        return encode(*pair, messages)
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
        if pair[0] == "v7" and any(m["role"] == "assistant" and not m["content"] for m in messages):
            continue
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
    messages = [{"role": "user", "content": "Explain Machine Learning to me in a nutshell."}]
    # fmt: off
    assert encode("v1", tokenizer, messages) == [
        1, 733, 16289, 28793, 13702, 426, 13253, 17504, 298, 528, 297, 264, 21204, 13436, 28723, 733, 28748,
        16289, 28793,
    ]
    # fmt: on


def test_an_answer_is_encoded_on_its_own(tmp_path: Path) -> None:
    shutil.copy(DATA / FILES["v1"], tmp_path / "tokenizer.model.v1")
    tokenizer = Tokenizer.load(tmp_path)
    turns = [("user", "How are you?"), ("assistant", "Well"), ("user", "Good")]
    ids = encode("v1", tokenizer, [{"role": role, "content": text} for role, text in turns])
    assert 4673 in ids
    assert 6824 not in ids

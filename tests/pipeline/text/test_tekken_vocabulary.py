"""tekken.json: the ids of mistral-common, of texts and of conversations."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from pipeline.errors import ConfigError, RowError
from pipeline.text.messages import parse_messages
from pipeline.text.mistral_format import MistralFormat
from pipeline.text.tokenization import Tokenizer
from tests.pipeline.text.tokenizer_kinds import DATA, tekken, write_tekken

VERSIONS = {"v3": "v3", "v7": "v7", "v11": "v7", "v13": "v7"}
PARTS = st.sampled_from(
    [
        "a",
        "A",
        "the",
        " the",
        "  ",
        "\n",
        "\r\n\n",
        "'s",
        "9",
        "日本",
        "é",
        "e\u0301",
        "🦙",
        "-----",
        "aaaaaaaa",
        "/\n",
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PARTS, max_size=30).map("".join))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tekken")
    write_tekken(folder)
    return folder


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[Tokenizer, Tekkenizer]:
    return Tokenizer.load(folder), Tekkenizer.from_file(folder / "tekken.json")


@settings(max_examples=500, deadline=None)
@example(text="x" * 3000)
@example(text="[INST]</s><SPECIAL_20>")
@given(text=TEXTS)
def test_ids_and_texts_are_those_of_mistral_common(pair: tuple[Tokenizer, Tekkenizer], text: str) -> None:
    ours, oracle = pair
    ids = ours.encode(text)
    assert ids == oracle.encode(text, bos=False, eos=False) == ours.encode_continuation(text)
    assert ours.decode(ids) == text == oracle.decode(ids)
    assert ours.encode_trusted(ours.mark(text)) == ids


def test_the_whole_vocabulary_that_mistral_published(tmp_path: Path) -> None:
    (tmp_path / "tekken.json").write_bytes((DATA / "tekken_240718.json").read_bytes())
    ours, oracle = Tokenizer.load(tmp_path), Tekkenizer.from_file(DATA / "tekken_240718.json")
    assert (ours.vocab_size, ours.bos_id, ours.eos_id, ours.words_apart) == (131072, 1, 2, True)
    assert ours.around.before == (1,)
    assert ours.trusted_tokens["<SPECIAL_999>"] == 999
    text = Path(__file__).read_text(encoding="utf-8")
    assert ours.encode(text) == oracle.encode(text, bos=False, eos=False)
    for token_id in range(900, 131072, 97):
        assert ours.piece_bytes(token_id) == oracle.id_to_byte_piece(token_id)


def test_each_piece_adds_its_bytes(pair: tuple[Tokenizer, Tekkenizer]) -> None:
    ours, oracle = pair
    assert [ours.piece_bytes(i) for i in range(ours.vocab_size)] == [
        oracle.id_to_byte_piece(i) for i in range(ours.vocab_size)
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_conversations_equal_mistral_common(tmp_path: Path, version: str) -> None:
    write_tekken(tmp_path, version)
    if version not in ("v3", "v7"):
        data = tekken(version)
        names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
        names += [
            "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]",
            "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]",
            "[TOOL_CALLS]",
        ]
        names += [
            "[CALL_ID]",
            "[ARGS]",
            "[TOOL_CONTENT]",
            "[PREFIX]",
            "[MIDDLE]",
            "[SUFFIX]",
            "[IMG]",
            "[THINK]",
            "[/THINK]",
            "<pad>",
        ]
        data["special_tokens"] = [
            {"rank": number, "token_str": name, "is_control": True} for number, name in enumerate(names)
        ]
        (tmp_path / "tekken.json").write_text(json.dumps(data), encoding="utf-8")
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.instruct_version == VERSIONS[version]
    form = MistralFormat(tokenizer, tokenizer.instruct_version, "", frozenset())
    assert form.answer_opening == ""
    oracle = MistralTokenizer.from_file(str(tmp_path / "tekken.json"))

    @settings(max_examples=60, deadline=None)
    @given(st.lists(TEXTS.filter(str.strip), min_size=1, max_size=5), st.booleans())
    def equal(texts: list[str], with_system: bool) -> None:
        texts = texts[len(texts) % 2 == 0 :]
        messages: list[Any] = [
            {"role": role, "content": text}
            for role, text in zip(["user", "assistant"] * len(texts), texts, strict=False)
        ]
        if with_system:
            messages.insert(0, {"role": "system", "content": "Be [INST] brief. "})
        marked = [message.map(tokenizer.mark) for message in parse_messages(messages)]
        request: Any = ChatCompletionRequest(messages=messages)
        assert form.encode(marked) == oracle.encode_chat_completion(request).tokens

    equal()


def test_a_later_format_needs_a_template_of_its_own(tmp_path: Path) -> None:
    write_tekken(tmp_path, "v15")
    assert Tokenizer.load(tmp_path).instruct_version is None


def test_a_lone_surrogate_is_a_row_error(pair: tuple[Tokenizer, Tekkenizer]) -> None:
    with pytest.raises(RowError):
        pair[0].encode("a\ud800")


def _without_byte(data: dict[str, Any]) -> None:
    data["vocab"][7]["token_bytes"] = base64.b64encode(b"qqqqqq").decode()


DAMAGES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda data: data.pop("config"), "it has no 'config'"),
    (lambda data: data.pop("vocab"), "it has no 'vocab'"),
    (lambda data: data["config"].pop("pattern"), "it has no 'pattern'"),
    (lambda data: data["config"].update(pattern="("), "not a tekken vocabulary: "),
    (lambda data: data["config"].update(pattern=3), "3 in its config is not of type str"),
    (
        lambda data: data["config"].update(default_vocab_size="many"),
        "'many' in its config is not of type int",
    ),
    (lambda data: data["config"].update(default_vocab_size=50), "do not add up"),
    (lambda data: data["config"].update(default_vocab_size=1 << 20), "it has 4000 pieces, its config says"),
    (lambda data: data["vocab"].pop(1000), "it has 3999 pieces, its config says 4000"),
    (lambda data: data["vocab"].insert(1000, data["vocab"][9]), "the piece at place 1000 has rank 9"),
    (lambda data: data["vocab"][1000].update(token_bytes="YQ=="), "a piece stands twice in it"),
    (lambda data: data["vocab"][1000].update(token_bytes=""), "a piece stands twice in it, or is empty"),
    (lambda data: data["vocab"][1000].update(token_bytes="é"), "ASCII"),
    (lambda data: data["vocab"].__setitem__(1000, None), "not a tekken vocabulary"),
    (_without_byte, "it has no piece for the byte 7"),
    (
        lambda data: data.update(special_tokens=[{"rank": 5, "token_str": "<s>"}]),
        "its special tokens are not",
    ),
    (lambda data: data.update(special_tokens=[{"rank": 0, "token_str": "<s>"}]), "must define an end"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=[message for _, message in DAMAGES])
def test_a_damaged_file_is_one_sentence(
    tmp_path: Path, damage: Callable[[dict[str, Any]], object], message: str
) -> None:
    data = tekken()
    damage(data)
    (tmp_path / "tekken.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as refused:
        Tokenizer.load(tmp_path)
    assert str(tmp_path / "tekken.json") in str(refused.value)
    assert "\n" not in str(refused.value)

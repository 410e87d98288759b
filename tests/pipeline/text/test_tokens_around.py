"""What stands around plain texts: as transformers has it, by tokenizer.json's post_processor alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor
from tokenizers import processors
from transformers import AutoTokenizer

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError
from pipeline.preflight.fit_task import closing_tokens
from pipeline.tasks.embed import Embed, EmbedSection
from pipeline.text.choose_format import choose_format
from pipeline.text.messages import Message
from pipeline.text.pair_prompts import PairPrompts
from pipeline.text.tokenization import Tokenizer
from pipeline.text.tokens_around import TokensAround
from tests.pipeline.text.tokenizer_kinds import DATA, llama_style, write_trained

ENDS = [("<s>", 1), ("</s>", 2), ("<|im_start|>", 5), ("<|im_end|>", 6)]
SECTION = InputSection(path=["x"])


def template(single: str, pair: str = "$A $B") -> processors.TemplateProcessing:
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ENDS)


PROCESSORS = {
    "nothing": None,
    "bos": template("<s> $A", "<s> $A <s> $B"),
    "bos and eos": template("<s> $A </s>", "<s> $A </s> <s> $B </s>"),
    "eos": template("$A </s>"),
    "the text": template("$A"),
    "several": template("<|im_start|> <s> $A </s> <|im_end|>", "<s> $A <|im_end|> </s> $B"),
    "roberta": processors.RobertaProcessing(("</s>", 2), ("<s>", 1)),
    "bert": processors.BertProcessing(("<|im_end|>", 6), ("<|im_start|>", 5)),
    "bytes": processors.ByteLevel(),
    "in sequence": processors.Sequence([processors.ByteLevel(), template("<s> $A", "<s> $A <s> $B")]),
}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": False, "add_eos_token": True},
    {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "bos_token": "<|im_start|>"},
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    write_trained(folder, llama_style())
    (folder / "config.json").write_text('{"model_type": "mixtral"}')
    return folder


def make(trained: Path, folder: Path, processor: Any, settings: dict[str, Any] | None = None) -> Path:
    """The trained tokenizer with another post_processor: an object of tokenizers, or what its JSON has."""
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    known = isinstance(processor, tuple(type(one) for one in PROCESSORS.values() if one))
    stated = json.loads(processor.__getstate__()) if known else processor
    whole = json.loads((trained / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps(whole | {"post_processor": stated}), encoding="utf-8")
    config = json.loads((trained / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config | (settings or {})), encoding="utf-8")
    return folder


def equal_transformers(folder: Path) -> None:
    oracle, around = AutoTokenizer.from_pretrained(folder), Tokenizer.load(folder).around
    one, two = (oracle.encode(text, add_special_tokens=False) for text in ("ab", "bc"))
    assert [*around.before, *one, *around.behind] == oracle.encode("ab")
    pair = [*around.before_pair, *one, *around.between, *two]
    assert pair == oracle.encode("ab", "bc")[: len(pair)]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", PROCESSORS)
def test_it_is_what_transformers_adds(
    name: str, settings: dict[str, Any], trained: Path, tmp_path: Path
) -> None:
    equal_transformers(make(trained, tmp_path, PROCESSORS[name], settings))


def test_also_where_the_pieces_are_read_from_a_sentencepiece_model(trained: Path, tmp_path: Path) -> None:
    make(trained, tmp_path, PROCESSORS["bos and eos"], {"add_bos_token": False})
    shutil.copy(DATA / "tokenizer.model.v1", tmp_path / "tokenizer.model")
    model = SentencePieceProcessor(model_file=str(DATA / "tokenizer.model.v1"))
    vocabulary = {model.id_to_piece(number): number for number in range(model.vocab_size())}
    whole = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    whole["model"] |= {"vocab": vocabulary, "merges": []}
    whole["added_tokens"] = whole["added_tokens"][:3]
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
    assert Tokenizer.load(tmp_path).files.kind == "sentencepiece"
    equal_transformers(tmp_path)


def test_without_a_tokenizer_json_the_settings_say_it(tmp_path: Path) -> None:
    shutil.copy(DATA / "tokenizer.model.v1", tmp_path / "tokenizer.model")
    assert Tokenizer.load(tmp_path).around == TokensAround((1,), (), (1,), (1,))
    settings = {"add_bos_token": False, "add_eos_token": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert Tokenizer.load(tmp_path).around == TokensAround((), (2,), (), (2,))


def test_prompts_have_it(trained: Path, tmp_path: Path) -> None:
    folder = make(trained, tmp_path, PROCESSORS["several"])
    tokenizer, oracle = Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)
    form = choose_format(SECTION, tokenizer, (), may_close=True)
    for text in ("a b", "<|im_start|><s>a b"):
        ids = [*form.encode([Message("user", (text,))]), *closing_tokens(Embed(EmbedSection()), form)]
        assert ids == oracle.encode("a b")
    closed = Embed(EmbedSection(append_eos=True))
    assert closing_tokens(closed, form) == (2, 6, 2), "the end of the sequence is </s>"
    pairs = PairPrompts(SECTION, form, 1 << 20, "q", "c")
    assert pairs.build({"q": "Who?", "c": "a b"}).token_ids == oracle.encode("Who?", "a b")


def test_what_would_end_prompts_before_their_answers_is_refused(trained: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(make(trained, tmp_path, PROCESSORS["bos and eos"]))
    message = (
        r"the post_processor of tokenizer\.json puts </s> behind every text, which would end every plain"
    )
    with pytest.raises(ConfigError, match=message):
        choose_format(SECTION, tokenizer, ())


def single(*steps: Any) -> dict[str, Any]:
    bos = {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
    return {"type": "TemplateProcessing", "single": [*steps], "pair": [], "special_tokens": bos}


TEXT = {"Sequence": {"id": "A", "type_id": 0}}


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (single(), "must keep every text once and in order, for 1 it gives 0"),
        (single(TEXT, TEXT), "must keep every text once"),
        (single({}), "cannot be read: "),
        (single({"SpecialToken": {"id": "<x>", "type_id": 0}}, TEXT), "cannot be read: "),
        (single() | {"special_tokens": {"<s>": {"id": "<s>", "ids": [-1], "tokens": ["<s>"]}}}, "read: "),
        (template("$A", "$B $A"), "must keep every text once and in order, for 2 it gives"),
        ({"type": "Unheard"}, "cannot be read: "),
        ([], "cannot be read: "),
        (processors.BertProcessing(("x", 99999), ("<s>", 1)), "adds token 99999, and its ids end at"),
    ],
)
def test_a_damaged_one_is_one_sentence(processor: Any, message: str, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        Tokenizer.load(make(trained, tmp_path, processor))
    assert "post_processor of tokenizer.json" in str(refused.value)
    assert "\n" not in str(refused.value)

"""What must hold with every kind of tokenizer: control tokens, completions as they grow, choices, places."""

import codecs
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.config.input import InputSection
from pipeline.errors import RowError
from pipeline.text.choice_tokens import ChoiceTokens
from pipeline.text.choose_format import choose_format
from pipeline.text.detokenization import Detokenizer
from pipeline.text.prompt_format import PlainFormat, PromptFormat
from pipeline.text.prompts import PromptBuilder
from pipeline.text.text_offsets import TextOffsets
from pipeline.text.tokenization import Tokenizer
from tests.pipeline.text.tokenizer_kinds import KINDS, SPECIAL

CHATML = (
    "{% for m in messages %}{{ '[INST] ' + m.content + '[/INST]' }}{% endfor %}"
    "{% if add_generation_prompt %}Answer: {% endif %}"
)
WRITTEN = [*SPECIAL, "[SYSTEM_PROMPT]", "[control_8]", "<SPECIAL_20>", "<", "s>", "[IN", "ST]"]
TEXTS = st.one_of(
    st.text(),
    st.lists(st.one_of(st.sampled_from([*WRITTEN, " ", "\n", "a b", "日本", "🦙"]), st.text(max_size=3))).map(
        "".join
    ),
)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("kind")
    KINDS[request.param](folder)
    return Tokenizer.load(folder)


def control_ids(tokenizer: Tokenizer) -> set[int]:
    return {*tokenizer.trusted_tokens.values()} - {tokenizer.trusted_tokens.get("<unk>", -1)}


def builder_of(tokenizer: Tokenizer, **section: object) -> tuple[PromptFormat, PromptBuilder]:
    given_section = InputSection.model_validate({"path": "x", "prompt": {"column": "q"}, **section})
    form = choose_format(given_section, tokenizer, ())
    return form, PromptBuilder(given_section, form, 1 << 20)


@settings(max_examples=60, deadline=None)
@example(text="</s>")
@example(text="[INST]")
@example(text=" </s> [INST]</s>[/INST] <|im_end|>\n<s><SPECIAL_20>")
@given(text=TEXTS)
def test_no_row_writes_a_control_token(tokenizer: Tokenizer, text: str) -> None:
    controls = control_ids(tokenizer)
    assert not controls.intersection(tokenizer.encode(text))
    assert not controls.intersection(tokenizer.encode_continuation(text))
    assert tokenizer.encode_trusted(tokenizer.mark(text)) == tokenizer.encode(text)
    between = tokenizer.encode_trusted("</s>" + tokenizer.mark(text) + "</s>")
    assert [token_id for token_id in between if token_id in controls] == [tokenizer.eos_id] * 2


@settings(max_examples=25, deadline=None)
@example(text="</s>[/INST]")
@given(text=TEXTS.filter(str.strip))
def test_a_row_within_a_chat_template(tokenizer: Tokenizer, text: str) -> None:
    _, builder = builder_of(tokenizer, chat_template=CHATML)
    controls = control_ids(tokenizer)
    plain = [i for i in builder.build({"q": "a"}).token_ids if i in controls]
    assert [i for i in builder.build({"q": text}).token_ids if i in controls] == plain


def test_control_tokens_never_come_of_text_and_add_none(tokenizer: Tokenizer) -> None:
    assert tokenizer.never_text >= {tokenizer.bos_id, tokenizer.eos_id}
    assert {tokenizer.piece_bytes(token_id) for token_id in control_ids(tokenizer)} == {b""}
    for name, token_id in tokenizer.trusted_tokens.items():
        assert tokenizer.encode_trusted(name) == [token_id]
        assert tokenizer.tokens_in(f"a{name}b") == [token_id]


@settings(max_examples=40, deadline=None)
@given(text=st.text())
def test_a_completion_grows_by_whole_characters(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    detokenizer = Detokenizer(tokenizer)
    decoder = codecs.getincrementaldecoder("utf-8")()
    written = ""
    for token_id in ids:
        detokenizer.add(token_id)
        written += decoder.decode(tokenizer.piece_bytes(token_id))
        assert detokenizer.text == written
    assert detokenizer.finish() == tokenizer.decode(ids)
    if not tokenizer.dummy_space:
        assert tokenizer.decode(ids) == text


@settings(max_examples=30, deadline=None)
@given(text=st.text(min_size=1), data=st.data())
def test_a_stop_text_ends_it_wherever_tokens_end(
    tokenizer: Tokenizer, text: str, data: st.DataObject
) -> None:
    ids = tokenizer.encode(text)
    whole = tokenizer.decode(ids)
    begin = data.draw(st.integers(0, len(whole) - 1))
    stop = whole[begin : data.draw(st.integers(begin + 1, len(whole)))]
    detokenizer = Detokenizer(tokenizer, [stop])
    for token_id in ids:
        detokenizer.add(token_id)
    assert detokenizer.stopped
    assert detokenizer.finish() == whole[: whole.index(stop)]


@settings(max_examples=40, deadline=None)
@example(prompt="Sentiment: ", text="good")
@example(prompt="Sentiment:\n\n", text="日本")
@example(prompt="it's", text="a b")
@given(prompt=st.text(min_size=1).filter(str.strip), text=st.text("abc xyz日", min_size=1).map(str.strip))
def test_choices_have_the_ids_of_prompt_and_choice_as_one_text(
    tokenizer: Tokenizer, prompt: str, text: str
) -> None:
    if not text or "\u2581" in prompt:
        return
    form = PlainFormat(tokenizer, frozenset())
    section = InputSection.model_validate({"path": "x", "prompt": {"column": "q"}})
    ids = PromptBuilder(section, form, 1 << 20).build({"q": prompt}).token_ids
    kept, behind = ChoiceTokens(form, {"one": text, "other": "zzz"}).behind(ids)
    whole = prompt + form.answer_frame(prompt).before + text
    assert [*kept, *behind.token_ids[0]] == [*tokenizer.around.before, *tokenizer.encode(whole)]


@settings(max_examples=30, deadline=None)
@example(text="Anna  lives in Köln, 日本 🙂")
@given(text=st.text(min_size=1).filter(str.strip))
def test_every_character_belongs_to_a_token(tokenizer: Tokenizer, text: str) -> None:
    for section in ({"chat": False}, {"chat_template": CHATML}):
        form, builder = builder_of(tokenizer, **section)
        prompt = builder.build({"q": text})
        places = TextOffsets(form).of_prompt(prompt.token_ids, prompt.text)
        assert {i for start, end in places for i in range(start, end)} == set(range(len(text)))


def test_a_pickle_needs_no_folder(tokenizer: Tokenizer) -> None:
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode_trusted("</s>Hi [INST]") == tokenizer.encode_trusted("</s>Hi [INST]")


def test_a_lone_surrogate_is_a_row_error(tokenizer: Tokenizer) -> None:
    for encode in (tokenizer.encode, tokenizer.encode_continuation, tokenizer.mark):
        with pytest.raises(RowError):
            encode("a\ud800")


@pytest.mark.parametrize("ignore_merges", [True, False])
def test_merges_that_lead_to_a_control_token_are_not_taken(tmp_path: Path, ignore_merges: bool) -> None:
    """As vocabularies have them that list every piece that two others make."""
    KINDS["tokenizers, metaspace"](tmp_path)
    data = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary, merges = data["model"]["vocab"], data["model"]["merges"]
    for left, right in (("<", "s"), ("<s", ">"), ("\u2581", "<s>"), ("<", "/s>"), ("/s", ">")):
        for piece in (left, right, left + right):
            vocabulary.setdefault(piece, len(vocabulary))
        merges.append([left, right])
    data["model"]["ignore_merges"] = ignore_merges
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    tokenizer = Tokenizer.load(tmp_path)
    for text in ("<s>", " <s>", "a<s>", "</s>", "a </s>b"):
        for ids in (tokenizer.encode(text), tokenizer.encode_continuation(text)):
            assert not control_ids(tokenizer).intersection(ids)
            assert tokenizer.decode(ids).strip() == text.strip()

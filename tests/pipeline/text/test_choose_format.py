"""Which format prompts have, and that one place says what ends an answer."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import mistral_common
import pytest
from sentencepiece import SentencePieceTrainer

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, RowError
from pipeline.text.choose_format import choose_format
from pipeline.text.messages import Message
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.prompts import PromptBuilder
from pipeline.text.tokenization import Tokenizer

DATA = Path(mistral_common.__file__).parent / "data"
FILES = {"v1": "tokenizer.model.v1", "v3": "mistral_instruct_tokenizer_240323.model.v3"}
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
ADDED = {"32000": {"content": "<|im_end|>"}, "32001": {"content": "<|im_start|>"}}
HELLO = [Message("user", ("Hello",))]


def chosen(
    folder: Path, version: str = "v1", ends: tuple[int, ...] = (2,), config: Any = None, **section: object
) -> PromptFormat:
    shutil.copy(DATA / FILES[version], folder / "tokenizer.model")
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    prompt = section.pop("prompt", {"column": "q"})
    parsed = InputSection.model_validate({"path": "x", "prompt": prompt, **section})
    return choose_format(parsed, Tokenizer.load(folder), ends)


def chatml(**config: object) -> dict[str, object]:
    return {"chat_template": CHATML, "added_tokens_decoder": ADDED, **config}


def test_the_ends_of_an_answer_are_one_set(tmp_path: Path) -> None:
    """The checkpoint's configs, the tokenizer's eos, and what the template puts behind an answer."""
    assert chosen(tmp_path, config=chatml(eos_token="<|im_end|>")).end_ids == {2, 32000}
    assert chosen(tmp_path, config=chatml(eos_token="</s>")).end_ids == {2, 32000}
    assert chosen(tmp_path, config=chatml(eos_token="</s>"), ends=(7, 32000)).end_ids == {2, 7, 32000}
    assert chosen(tmp_path, config=chatml(eos_token="</s>"), chat=False).end_ids == {2, 32000}
    assert chosen(tmp_path, config=chatml(), prompt={"token_ids": "t"}, ends=(9,)).end_ids == {2, 9, 32000}
    broken = chatml(chat_template="{% for")
    assert chosen(tmp_path, config=broken, chat=False).end_ids == {2}


@pytest.mark.parametrize(
    ("template", "end"),
    [
        # text is no end, a newline added as a token neither
        ("{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}", set()),
        # the token may open the next turn
        (
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '\\n' }}{% endfor %}",
            {32001},
        ),
        ("{% for m in messages %}{{ m.role + ': ' + m.content + ' <|im_end|>' }}{% endfor %}", {32000}),
    ],
)
def test_the_end_that_a_template_writes(tmp_path: Path, template: str, end: set[int]) -> None:
    added = {**ADDED, "32002": {"content": "\n"}}
    form = chosen(tmp_path, config={"chat_template": template, "added_tokens_decoder": added})
    assert form.end_ids == {2} | end


def test_a_template_of_the_jobs_own_stands_in_place_of_the_checkpoints(tmp_path: Path) -> None:
    own = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}"
    form = chosen(tmp_path, config=chatml(), chat_template=own)
    encode = form.tokenizer.encode
    assert form.encode(HELLO) == [*encode("[user]Hello"), 32000]
    assert form.source == "input.chat_template"
    base = chosen(tmp_path, config={"added_tokens_decoder": ADDED}, chat_template=own)
    assert base.encode(HELLO) == form.encode(HELLO), "a base model is given a chat format by it"


def test_which_of_three_kinds_it_is(tmp_path: Path) -> None:
    v1 = "{{ bos_token }}{% for m in messages %}"
    v1 += "{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    v1 += "{% elif m.role == 'assistant' %}{{ m.content + eos_token }}{% else %}{{ raise_exception() }}"
    v1 += "{% endif %}{% endfor %}"
    sources = [
        chosen(tmp_path).source,
        chosen(tmp_path, chat=True).source,
        chosen(tmp_path, prompt={"token_ids": "t"}).source,
        chosen(tmp_path, "v3").source,
        chosen(tmp_path, config={"chat_template": v1}).source,
        chosen(tmp_path, config=chatml()).source,
    ]
    assert sources == [
        "plain text, without a chat format",
        "Mistral's format v1, from the vocabulary",
        "token ids as they are given",
        "Mistral's format v3, from the vocabulary",
        "Mistral's format v1, as the chat template of tokenizer_config.json renders",
        "the chat template of tokenizer_config.json",
    ]


@pytest.mark.parametrize(
    ("config", "section", "message"),
    [
        (None, {"prompt": {"messages": "m"}}, "needs an instruct checkpoint"),
        (None, {"prompt": {"messages": "m"}, "chat": False}, "does not go with messages"),
        (None, {"prompt": {"token_ids": "t"}, "chat": True}, "has no effect on token_ids"),
        (None, {"prompt": {"token_ids": "t"}, "chat_template": CHATML}, "has no effect on token_ids"),
        (None, {"chat": False, "chat_template": CHATML}, "leaves input.chat_template without effect"),
        ({"add_eos_token": True}, {}, "add_eos_token: true, which would end every plain prompt"),
        (chatml(chat_template="{% for"), {}, r"the chat template of tokenizer_config\.json, line 1"),
        (chatml(chat_template=CHATML + "{{ strftime_now('%d') }}"), {}, "writes the day's date"),
        (chatml(chat_template=[{"name": "rag", "template": CHATML}]), {}, "called rag, none of them default"),
    ],
)
def test_jobs_that_cannot_be(tmp_path: Path, config: Any, section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen(tmp_path, config=config, **section)


def test_an_empty_template_is_none(tmp_path: Path) -> None:
    form = chosen(tmp_path, config=chatml(chat_template=" \n"))
    assert (form.source, [*form.end_ids]) == ("plain text, without a chat format", [2])


def test_a_template_that_makes_nothing_costs_the_row(tmp_path: Path) -> None:
    form = chosen(tmp_path, config=chatml(chat_template="{% for m in messages %}{% endfor %}"))
    section = InputSection.model_validate({"path": "x", "prompt": {"column": "q"}})
    with pytest.raises(RowError, match="EMPTY_PROMPT: the chat template makes nothing"):
        PromptBuilder(section, form, 1 << 20).build({"q": "Hi"})


def test_mistrals_format_needs_a_beginning_of_the_sequence(tmp_path: Path) -> None:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(tmp_path / "tokenizer"),
        vocab_size=400,
        byte_fallback=True,
        bos_id=-1,
        minloglevel=2,
    )
    section = InputSection.model_validate({"path": "x", "prompt": {"column": "q"}, "chat": True})
    with pytest.raises(ConfigError, match=r"it has no chat template; give one with input\.chat_template"):
        choose_format(section, Tokenizer.load(tmp_path), (2,))


def test_a_template_that_writes_an_answer_twice_cannot_tell_how_it_follows(tmp_path: Path) -> None:
    twice = "{% for m in messages %}{{ m.content + ' ' + m.content }}<|im_end|>{% endfor %}"
    with pytest.raises(ConfigError, match="how an answer's tokens follow cannot be told"):
        chosen(tmp_path, config=chatml(chat_template=twice)).answer_frame("word")


def test_add_eos_token_does_not_matter_to_a_chat(tmp_path: Path) -> None:
    ids = chosen(tmp_path, config=chatml(add_eos_token=True)).encode(HELLO)
    assert ids == chosen(tmp_path, config=chatml()).encode(HELLO)


def test_a_plain_prompt_begins_with_one_bos_or_none(tmp_path: Path) -> None:
    assert chosen(tmp_path).encode(HELLO) == [1, 22557]
    assert chosen(tmp_path).encode([Message("user", ("<s>Hello",))]) == [1, 22557], "the author wrote it"
    assert chosen(tmp_path, config={"add_bos_token": False}).encode(HELLO) == [22557]
    assert chosen(tmp_path, config=chatml(bos_token="<|im_start|>"), chat=False).encode(HELLO) == [
        32001,
        22557,
    ]


def test_how_a_decoded_answer_begins(tmp_path: Path) -> None:
    def opening(template: str) -> str:
        return chosen(tmp_path, config=chatml(chat_template=template)).answer_opening

    turns = "{% for m in messages %}{{ m.role.upper() + ': ' + m.content + eos_token }}{% endfor %}"
    assert opening(CHATML) == ""
    assert opening(turns + "{% if add_generation_prompt %}ASSISTANT:{% endif %}") == " "
    assert opening(turns + "{% if add_generation_prompt %}ASSISTANT: {% endif %}") == ""
    assert opening(turns) == " ASSISTANT: ", "a template that ignores add_generation_prompt"
    assert chosen(tmp_path, "v3", config={}, chat=True).answer_opening == " "
    assert chosen(tmp_path, chat=False, config={}).answer_opening == ""


def test_a_template_that_strips_is_none_of_mistrals(tmp_path: Path) -> None:
    template = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
    template += "{{ '[INST] ' + m.content | trim + ' [/INST]' }}{% elif m.role == 'assistant' %}"
    template += "{{ m.content + eos_token }}{% else %}{{ raise_exception() }}{% endif %}{% endfor %}"
    form = chosen(tmp_path, config={"chat_template": template})
    assert form.encode([Message("user", (" \nHello ",))]) == form.encode(HELLO)


def test_a_template_is_given_all_special_tokens_by_their_names(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.content + sep_token + pad_token + unk_token }}{% endfor %}"
    named = {"sep_token": "<|im_end|>", "pad_token": {"content": "<|im_start|>"}, "unk_token": "</s>"}
    assert chosen(tmp_path, config=chatml(chat_template=template, **named)).encode(HELLO)[1:] == [
        32000,
        32001,
        2,
    ]


def test_ends_that_a_model_has_no_token_for_are_left_out_of_plain_text(tmp_path: Path) -> None:
    assert chosen(tmp_path, config=chatml(), chat=False).within(32000).end_ids == {2}
    assert chosen(tmp_path, config=chatml(), chat=False).within(32001).end_ids == {2, 32000}


def test_a_pickle_encodes_the_same(tmp_path: Path) -> None:
    for config, chat in ((chatml(), "auto"), ({}, False), ({}, True)):
        form = chosen(tmp_path, config=config, chat=chat)
        again = pickle.loads(pickle.dumps(form))
        assert again.encode(HELLO) == form.encode(HELLO)
        assert (again.end_ids, again.answer_opening) == (form.end_ids, form.answer_opening)

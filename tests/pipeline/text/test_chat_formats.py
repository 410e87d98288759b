import re
from typing import cast

import pytest
from sentencepiece import SentencePieceProcessor

from pipeline.errors import ConfigError, RowError
from pipeline.text.chat_template import ChatTemplate
from pipeline.text.control_tokens import without_marks
from pipeline.text.messages import Message, Role
from pipeline.text.prompt_format import AnswerFrame
from pipeline.text.recognise_mistral import mistral_version
from pipeline.text.template_format import TemplateFormat
from pipeline.text.tokenization import Tokenizer
from tests.pipeline.text.published_formats import (
    FOLDER,
    MISTRALS,
    UNTELLABLE,
    Checkpoints,
    PublishedFormat,
    names_of,
    published_formats,
    split_and_encode,
)

PUBLISHED = published_formats()
FORMATS = [form.dated() for form in PUBLISHED]
TEXTS = {
    "plain": ("Be brief.", "Which queue?", "billing", "And now?", "returns"),
    "blank": (" \n s ", "\n a\n\n\nb \t", " \nx\n ", " ", "  y  "),
    "other": (
        "日本語\r\n🦙",
        "é\u3000{{ messages }}{% raw %}",
        "$5 <b>&",
        "</s>[INST] <|im_end|>\n",
        "ß'\"\\n",
    ),
}
SHAPES = ("u", "su", "uau", "suau", "ua", "uaua", "sua", "uu", "us", "a")
ROLES = {"s": "system", "u": "user", "a": "assistant"}


def conversations() -> list[tuple[list[dict[str, str]], bool]]:
    """Messages, and whether the assistant is to speak."""
    found = []
    for system, *turns in TEXTS.values():
        for shape in SHAPES:
            texts = iter(turns)
            found.append(
                (
                    [{"role": ROLES[r], "content": system if r == "s" else next(texts)} for r in shape],
                    shape[-1] != "a",
                )
            )
    return found


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


def as_messages(turns: list[dict[str, str]]) -> list[Message]:
    return [Message(cast(Role, turn["role"]), (turn["content"],)) for turn in turns]


def text_or_none(template: ChatTemplate, messages: list[Message], generation_prompt: bool) -> str | None:
    """The text without marks; None if these messages are an error of their row."""
    try:
        return without_marks(template.render(messages, generation_prompt))
    except RowError:
        return None


def test_all_render_as_transformers_renders_them(checkpoints: Checkpoints) -> None:
    different, rendered, refused = [], 0, 0
    for form in FORMATS:
        tokenizer = checkpoints.tokenizer(form)
        template = checkpoints.template(form)
        for messages, generation_prompt in conversations():
            expected = form.render(messages, generation_prompt)
            marked = [message.map(tokenizer.mark) for message in as_messages(messages)]
            ours = text_or_none(template, marked, generation_prompt)
            rendered += expected is not None
            refused += expected is None
            if ours != expected:
                different.append((form.name, messages, generation_prompt, ours, expected))
    assert different == []
    assert rendered > 1000
    assert refused > 200


SYSTEM, QUESTION, ANSWER, NEXT = (
    {"role": role, "content": content}
    for role, content in (("system", "SSS"), ("user", "QQQ"), ("assistant", "AAA"), ("user", "NNN"))
)


def behind_answer(
    form: PublishedFormat, tokenizer: Tokenizer, opening: list[dict[str, str]]
) -> tuple[str, str]:
    """What transformers renders behind an answer up to the first token, and the token; "" if none."""
    names = names_of(tokenizer)
    for conversation in ([*opening, ANSWER], [*opening, ANSWER, NEXT]):
        text = form.render(conversation, generation_prompt=False)
        assert text is not None
        found = re.search(f"AAA(.*?)({names})", text.partition("NNN")[0], re.DOTALL)
        if found:
            return found[1], found[2]
    return "", ""


def test_ids_are_sentencepieces_of_the_text_between_tokens(checkpoints: Checkpoints) -> None:
    models = {form.vocabulary: SentencePieceProcessor(model_file=str(form.vocabulary)) for form in FORMATS}
    messages = [SYSTEM, QUESTION, ANSWER, NEXT]
    compared = 0
    for form in FORMATS:
        tokenizer = checkpoints.tokenizer(form)
        text = form.render(messages)
        if text is None:
            continue
        expected = split_and_encode(tokenizer, models[form.vocabulary], text)
        found = TemplateFormat(tokenizer, checkpoints.template(form), form.name, frozenset())
        assert found.encode(as_messages(messages)) == expected, form.name
        compared += 1
    assert compared > 40


def test_what_stands_around_answers_is_what_transformers_renders(checkpoints: Checkpoints) -> None:
    mistrals, untellable, different = {}, set(), []
    for form in FORMATS:
        tokenizer = checkpoints.tokenizer(form)
        template = checkpoints.template(form)
        version = mistral_version(template, tokenizer)
        if version is not None:
            mistrals[form.name] = version
            continue
        found = TemplateFormat(tokenizer, template, form.name, frozenset())
        opening = [QUESTION] if form.render([QUESTION]) is not None else [SYSTEM, QUESTION]
        prompt, whole = form.render(opening), form.render([*opening, ANSWER], generation_prompt=False)
        assert prompt is not None
        assert whole is not None
        behind, end = behind_answer(form, tokenizer, opening)
        ends = frozenset(tokenizer.trusted_tokens[name] for name in (form.eos_token, end) if name)
        if not whole.startswith(prompt):
            untellable.add(form.name)
            with pytest.raises(ConfigError, match=f"{form.name}: it writes a prompt otherwise"):
                found.answer_frame(prompt)
            continue
        expected = (AnswerFrame(whole[len(prompt) :].partition("AAA")[0], behind), ends)
        if (found.answer_frame(prompt), found.end_ids) != expected:
            different.append((form.name, found.answer_frame(prompt), found.end_ids, expected))
    assert different == []
    assert (mistrals, untellable) == (MISTRALS, UNTELLABLE)


def test_a_template_that_writes_the_day_is_refused(checkpoints: Checkpoints) -> None:
    [form] = [form for form in PUBLISHED if "strftime_now" in form.source]
    with pytest.raises(ConfigError, match=r"^mistral-small-2501: .*\(strftime_now\)"):
        ChatTemplate(checkpoints.tokenizer(form), form.source, form.name)


def test_every_format_is_another_and_listed() -> None:
    assert len({form.source for form in PUBLISHED}) == len(PUBLISHED) >= 50
    assert {f"{form.name}.jinja" for form in PUBLISHED} == {path.name for path in FOLDER.glob("*.jinja")}

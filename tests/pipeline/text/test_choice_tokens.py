import json
import shutil
from pathlib import Path

import mistral_common
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError
from pipeline.text.choice_tokens import ChoiceTokens
from pipeline.text.choose_format import choose_format
from pipeline.text.messages import Message
from pipeline.text.prompt_format import PlainFormat, PromptFormat
from pipeline.text.prompts import PromptBuilder
from pipeline.text.template_format import TemplateFormat
from pipeline.text.tokenization import Tokenizer
from tests.pipeline.text.published_formats import Checkpoints, published_formats, split_and_encode

DATA = Path(mistral_common.__file__).parent / "data"
CHOICES = {"good": "positive", "bad": "very negative", "worse": "very negative indeed"}


def load(folder: Path, file: str = "tokenizer.model.v1", **config: object) -> Tokenizer:
    shutil.copy(DATA / file, folder / "tokenizer.model")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load(tmp_path_factory.mktemp("v1"))


def format_of(tokenizer: Tokenizer, **section: object) -> PromptFormat:
    return choose_format(
        InputSection.model_validate({"path": "x", "prompt": {"column": "q"}, **section}), tokenizer, ()
    )


def answered(form: PromptFormat, prompt: str, choices: dict[str, str] = CHOICES) -> list[list[int]]:
    """All ids up to the end of each choice, behind a prompt of plain text."""
    section = InputSection.model_validate({"path": "x", "prompt": {"column": "q"}})
    ids = PromptBuilder(section, form, 1 << 20).build({"q": prompt}).token_ids
    kept, behind = ChoiceTokens(form, choices).behind(ids)
    return [[*kept, *choice] for choice in behind.token_ids]


@pytest.mark.parametrize(
    ("prompt", "between"),
    [
        ("Sentiment:", " "),
        ("Sentiment", " "),
        ("Sentiment: ", ""),
        ("Sentiment:  ", ""),
        ("Sentiment:\n", ""),
        ("Sentiment:\n\n", ""),
        ("Sentiment: (", ""),
        ('Sentiment: "', ""),
        ('"yes" or "no"', " "),
        ("the dogs'", " "),
        ("say '", ""),
        ("Gef\u00fchl: \u201e", ""),
        ("\u611f\u60c5\uff1a\u300c", ""),
        ("<b>", " "),
        ("</s>", " "),
    ],
)
def test_behind_plain_text(tokenizer: Tokenizer, prompt: str, between: str) -> None:
    form = PlainFormat(tokenizer, frozenset())
    whole = [[1, *tokenizer.encode(prompt + between + text)] for text in CHOICES.values()]
    assert answered(form, prompt) == whole


@given(prompt=st.text(min_size=1).filter(str.strip), text=st.text("abc xyz日", min_size=1).map(str.strip))
def test_behind_any_text(tokenizer: Tokenizer, prompt: str, text: str) -> None:
    if not text:
        return
    form = PlainFormat(tokenizer, frozenset())
    between = form.answer_frame(prompt).before
    [ids, _] = answered(form, prompt, {"one": text, "other": "qqq"})
    assert ids == [1, *tokenizer.encode(prompt + between + text)]


def test_in_mistrals_formats_an_answer_is_a_text_of_its_own(tmp_path: Path) -> None:
    for file in ("tokenizer.model.v1", "mistral_instruct_tokenizer_240323.model.v3"):
        tokenizer = load(tmp_path, file)
        form = format_of(tokenizer, chat=True)
        prompt = form.encode([Message("user", ("Hi",))])
        assert answered(form, "Hi") == [[*prompt, *tokenizer.encode(text)] for text in CHOICES.values()]


@pytest.mark.parametrize("special", [True, False])
def test_behind_a_chat_prompt_that_ends_in_an_added_token(tmp_path: Path, special: bool) -> None:
    """An added token that is not special has a text, but the answer behind it goes on in none."""
    template = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + eos_token }}{% endfor %}"
    template += "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    names = {"32000": "<|user|>", "32001": "<|assistant|>"}
    decoder = {number: {"content": name, "special": special} for number, name in names.items()}
    tokenizer = load(tmp_path, chat_template=template, added_tokens_decoder=decoder)
    model = SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    prompt = [32000, *model.encode("Hi"), 2, 32001]
    whole = [[*prompt, *model.encode(text)] for text in CHOICES.values()]
    assert answered(format_of(tokenizer), "Hi") == whole


def test_an_answer_ends_at_the_first_end_id_behind_it(tmp_path: Path) -> None:
    """A checkpoint may end answers at a newline, which its template writes before a control token."""
    newline = 13
    template = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' + eos_token }}{% endfor %}"
    template += "{% if add_generation_prompt %}assistant: {% endif %}"
    tokenizer = load(tmp_path, chat_template=template)
    section = InputSection.model_validate({"path": "x", "prompt": {"column": "q"}})
    ends: tuple[tuple[int, ...], ...] = ((), (newline,))
    whole = [answered(choose_format(section, tokenizer, end_ids), "Hi") for end_ids in ends]
    assert all(ids[-1] == newline for ids in whole[0])
    assert whole[1] == [ids[:-1] for ids in whole[0]]


@pytest.mark.parametrize("legacy", [True, False])
def test_behind_plain_text_that_ends_in_a_token(tmp_path: Path, legacy: bool) -> None:
    """An answer is a text of its own there, as mistral-common encodes it behind [/INST]."""
    tokenizer = load(tmp_path, "mistral_instruct_tokenizer_240323.model.v3", legacy=legacy)
    model = SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    hand_written = InputSection.model_validate(
        {"path": "x", "prompt": {"template": "[INST]{{ q }}[/INST]"}, "chat": False}
    )
    as_ids = InputSection.model_validate({"path": "x", "prompt": {"token_ids": "ids"}})
    for section in (hand_written, as_ids):
        form = choose_format(section, tokenizer, ())
        row = {"q": "Hi", "ids": [1, 3, *model.encode("Hi"), 4]}
        prompt = PromptBuilder(section, form, 1 << 20).build(row).token_ids
        kept, choices = ChoiceTokens(form, CHOICES).behind(prompt)
        assert kept == prompt
        assert choices.token_ids == tuple(tuple(model.encode(text)) for text in CHOICES.values())


def test_behind_prompts_of_published_chat_formats(tmp_path: Path) -> None:
    """The ids of what transformers renders for a question and its answer, up to the first that ends one."""
    checkpoints = Checkpoints(tmp_path)
    different, compared = [], 0
    for published in [form.dated() for form in published_formats()]:
        tokenizer = checkpoints.tokenizer(published)
        model = SentencePieceProcessor(model_file=str(published.vocabulary))
        form = TemplateFormat(tokenizer, checkpoints.template(published), published.name, frozenset())
        messages = [{"role": "user", "content": "Which queue?\nI want my money"}]
        if published.name == "asimov-7b" or published.render(messages) is None:
            continue
        prompt = form.encode([Message("user", (messages[0]["content"],))])
        tokens = ChoiceTokens(
            form, {text: text for text in ("billing", "5 $ back", "returns & more", "日本")}
        )
        kept, behind = tokens.behind(prompt)
        for text, ids in zip(tokens.texts, behind.token_ids, strict=True):
            whole = published.render([*messages, {"role": "assistant", "content": text}], False)
            assert whole is not None
            expected = split_and_encode(tokenizer, model, whole)
            before = len(split_and_encode(tokenizer, model, whole[: whole.rindex(text)]))
            ends = [i for i in range(before, len(expected)) if expected[i] in form.end_ids]
            if not ends:
                whole = whole[: whole.rindex(text) + len(text)]
                expected, ends = split_and_encode(tokenizer, model, whole), [1 << 20]
            if [*kept, *ids] != expected[: ends[0]]:
                different.append((published.name, text, [*kept, *ids], expected[: ends[0]]))
            compared += 1
    assert different == []
    assert compared > 150


def test_the_branches_begin_where_the_prompt_and_all_choices_part(tokenizer: Tokenizer) -> None:
    form = PlainFormat(tokenizer, frozenset())
    prompt = [1, *tokenizer.encode("Sentiment: ")]
    kept, choices = ChoiceTokens(form, {"a": "good", "b": "bad"}).behind(prompt)
    assert kept == [1, *tokenizer.encode("Sentiment:")], "the space is part of what each choice begins with"
    assert choices.token_ids == ((tokenizer.encode("good")[0],), (tokenizer.encode("bad")[0],))


def test_ids_that_a_job_gives_stay_as_they_are(tokenizer: Tokenizer) -> None:
    given_ids = InputSection.model_validate({"path": "x", "prompt": {"token_ids": "t"}})
    tokens = ChoiceTokens(choose_format(given_ids, tokenizer, ()), {"a": "good", "b": "bad"})
    space = tokenizer.encode("Sentiment: ")[-1]
    for prompt in ([1, space], [1, 5278, space], [1, 2], [1, 733, 16289, 28793]):
        kept, _ = tokens.behind(prompt)
        assert kept == prompt
    _, behind_word = tokens.behind([1, 5278])
    assert behind_word.token_ids == ((tokenizer.encode("good")[0],), (tokenizer.encode("bad")[0],))
    _, behind_space = tokens.behind([1, space])
    assert behind_space.token_ids[0] == tuple(tokenizer.encode_continuation("good"))


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", "the text of 'bad' is empty"),
        (" ", "the text of 'bad' has spaces around it, got ' '"),
        (" positive", "the text of 'bad' has spaces around it, got ' positive'"),
        ("positive\n", "the text of 'bad' has spaces around it"),
        ("\ud800", "'bad': "),
        ("</s>", "'bad' holds a token that ends an answer"),
        ("positive</s>", "'bad' holds a token that ends an answer"),
    ],
)
def test_texts_that_no_answer_equals(tokenizer: Tokenizer, text: str, refusal: str) -> None:
    with pytest.raises(ConfigError, match=f"label.choices: {refusal}"):
        ChoiceTokens(PlainFormat(tokenizer, frozenset()), {"good": "positive", "bad": text})


def test_choices_with_the_same_tokens(tokenizer: Tokenizer) -> None:
    # U+2581 is how sentencepiece writes a space
    with pytest.raises(ConfigError, match="'one' and 'two' have the same tokens"):
        ChoiceTokens(PlainFormat(tokenizer, frozenset()), {"one": "a b", "two": "a\u2581b"})

"""Prompts of several questions: what they share, their rests, and the author's trust in what is asked."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import mistral_common
import pytest

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, RowError
from pipeline.text.choose_format import choose_format
from pipeline.text.prompts import PromptBuilder
from pipeline.text.question_prompts import QuestionPrompts, shared_and_rests
from pipeline.text.tokenization import Tokenizer

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}"
)
QUESTIONS = {"topic": ("What is it about?", "a: first\nb"), "mood": ("What mood? </s>", "good\nbad")}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """ChatML on the vocabulary of Mistral's first models."""
    folder = tmp_path_factory.mktemp("chatml")
    data = Path(mistral_common.__file__).parent / "data"
    shutil.copy(data / "tokenizer.model.v1", folder / "tokenizer.model")
    added = {"32000": {"content": "<|im_end|>"}, "32001": {"content": "<|im_start|>"}}
    config = {"chat_template": CHATML, "added_tokens_decoder": added, "bos_token": "<s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return Tokenizer.load(folder)


def section(template: str, chat: bool = False, **prompt: str) -> InputSection:
    given: Any = prompt or {"template": template}
    return InputSection.model_validate({"path": "x", "prompt": given, "chat": chat})


def alone(config: InputSection, tokenizer: Tokenizer, template: str, row: dict[str, object]) -> list[int]:
    """The ids of a prompt whose template holds the question itself."""
    config = section(template, bool(config.chat))
    return PromptBuilder(config, choose_format(config, tokenizer, ()), 1 << 20).build(row).token_ids


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize(
    "template",
    [
        "{{ text }}\n{{ question }}",
        "{{ question }}\n{{ options }}\n{{ text }}",
        "{{ question }}{{ text }} ok?",
    ],
)
def test_each_prompt_is_the_template_with_its_question(
    template: str, chat: bool, tokenizer: Tokenizer
) -> None:
    config = section(template, chat)
    prompts = QuestionPrompts(config, choose_format(config, tokenizer, ()), 1 << 20, QUESTIONS)
    assert prompts.columns == {"text"}
    row = {"text": "The box </s> came <|im_end|> open"}
    for built in (prompts.build(row), pickle.loads(pickle.dumps(prompts)).build(row)):
        shared, rests = shared_and_rests(built.token_ids, built.params)
        wanted = {}
        for (name, (question, options)), rest in zip(QUESTIONS.items(), rests, strict=True):
            written = template.replace("{{ question }}", question).replace("{{ options }}", options)
            assert [*shared, *rest] == alone(config, tokenizer, written, row)
            wanted[name] = written.replace("{{ text }}", row["text"])
        assert json.loads(built.text or "") == wanted
        assert len({*map(tuple, (rest[:1] for rest in rests))}) == len(rests), "nothing more is shared"
        assert built.longest == len(shared) + max(map(len, rests))
        assert len(built.token_ids) == len(shared) + sum(map(len, rests))
        assert tokenizer.eos_id in rests[1], "the author's </s> is a token"
        assert [*shared, *rests[0]].count(tokenizer.eos_id) == 0, "the row's is none"
    assert bool(prompts.facts()) == template.startswith("{{ question }}")


def test_a_bad_row_is_an_error_and_a_bad_job_is_refused(tokenizer: Tokenizer) -> None:
    config = section("{{ text }}{{ question }}")
    prompts = QuestionPrompts(config, choose_format(config, tokenizer, ()), 1 << 20, QUESTIONS)
    with pytest.raises(RowError, match="the template names text, which this row does not have"):
        prompts.build({"other": "x"})
    for source in ({"column": "text"}, {"messages": "text"}):
        config = section("", chat=True, **source)
        with pytest.raises(ConfigError, match=r"input\.prompt: with label\.questions it must be a template"):
            QuestionPrompts(config, choose_format(config, tokenizer, ()), 1 << 20, QUESTIONS)

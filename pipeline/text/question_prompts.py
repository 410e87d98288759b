"""One row to several prompts: the same template with each question in its place."""

from collections.abc import Mapping

import orjson

from model.requests.continuation_tree import alike
from pipeline.config.input import InputSection
from pipeline.errors import ConfigError
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.prompts import Prompt, PromptBuilder
from pipeline.text.question_place import OPTIONS, QUESTION, find_question

GIVEN = frozenset({QUESTION, OPTIONS})  # names in the template that no column has


class QuestionPrompts(PromptBuilder):
    """`questions`: by name what becomes of `{{ question }}` and of `{{ options }}`.

    ConfigError if prompts are not made by a template, or if the template has no place for a question.
    """

    def __init__(
        self,
        config: InputSection,
        prompt_format: PromptFormat,
        vocab_size: int,
        questions: Mapping[str, tuple[str, str]],
    ) -> None:
        template = config.prompt.template
        if template is None:
            raise ConfigError(
                "input.prompt: with label.questions it must be a template, which holds {{ question }} once"
            )
        self._given = {
            name: {QUESTION: question, OPTIONS: options} for name, (question, options) in questions.items()
        }
        texts = {name: [given[name] for given in self._given.values()] for name in GIVEN}
        super().__init__(config, prompt_format, vocab_size, given=texts)
        self._arguments = config, prompt_format, vocab_size, questions
        self.place = find_question(template)
        self.columns = None if self.columns is None else self.columns - GIVEN

    def __reduce__(self) -> tuple[object, ...]:
        return QuestionPrompts, self._arguments

    def build(self, record: Mapping[str, object]) -> Prompt:
        """The ids with which all prompts begin, and behind them the rest of each: see `shared_and_rests`."""
        assert self._template is not None
        prompts = {
            name: self._from_text(self._template.render(record, given)) for name, given in self._given.items()
        }
        each = [prompt.token_ids for prompt in prompts.values()]
        shared = alike(min(each), max(each))
        rests = [ids[shared:] for ids in each]
        return Prompt(
            token_ids=[*each[0][:shared], *(token_id for rest in rests for token_id in rest)],
            text=orjson.dumps({name: prompt.text for name, prompt in prompts.items()}).decode(),
            notice=next((prompt.notice for prompt in prompts.values() if prompt.notice), None),
            params=orjson.dumps({"shared": shared, "rests": [*map(len, rests)]}).decode(),
            longest=max(map(len, each)),
        )

    def facts(self) -> list[tuple[str, str]]:
        doubt = self.place.doubt
        return [("warning", doubt)] if doubt else []


def shared_and_rests(token_ids: list[int], params: str | None) -> tuple[list[int], list[list[int]]]:
    """A row's token ids and its params -> the ids that all its prompts begin with, and the rest of each."""
    assert params is not None, "of a row with several prompts"
    lengths = orjson.loads(params)
    shared = begin = lengths["shared"]
    rests = []
    for length in lengths["rests"]:
        rests.append(token_ids[begin : begin + length])
        begin += length
    return token_ids[:shared], rests

"""A task of another package: the likeliest next token of each prompt, and how sure the model is of it.

`test_third_task` installs it beside mixtray and runs a job of it; no file of mixtray knows its name.
"""

import math
from collections.abc import Mapping

import pyarrow as pa
from pydantic import Field

from model.requests.request import Completion, Request
from model.sampling.sampling_params import SamplingParams
from pipeline.config.section import Section
from pipeline.row_requests import Finish, Outcome, RowRequests
from pipeline.task import Task
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.tokenization import Tokenizer


class NextWordSection(Section):
    """How sure is sure."""

    sure_above: float = Field(
        default=0.5, ge=0.0, le=1.0, description="The probability above which it is sure."
    )


class NextWord(Task[NextWordSection]):
    section_name = "next_word"
    section_model = NextWordSection
    columns = (("next_word", pa.string()), ("next_word_prob", pa.float64()), ("sure", pa.bool_()))

    def requests(self, prompt_format: PromptFormat) -> "NextWordRows":
        return NextWordRows(prompt_format.tokenizer, self.section.sure_above)

    def measure(self, rows: pa.Table) -> dict[str, int]:
        return {"sure": rows["sure"].to_pylist().count(True)}

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        return [("sure", f"{totals['sure']} of {totals['rows']} above {self.section.sure_above:.0%}")]


class NextWordRows(RowRequests):
    def __init__(self, tokenizer: Tokenizer, sure_above: float) -> None:
        self._tokenizer = tokenizer
        self._sure_above = sure_above

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        one = SamplingParams(max_new_tokens=1, ignore_eos=True, logprobs=True)
        return Request(key, prompt_token_ids, one), self._finish

    def _finish(self, completion: Completion) -> Outcome:
        assert completion.logprobs is not None
        [token], [logprob] = completion.token_ids, completion.logprobs
        prob = math.exp(logprob)
        word = self._tokenizer.piece_bytes(token).decode(errors="replace")
        values = {"next_word": word, "next_word_prob": prob, "sure": prob > self._sure_above}
        return Outcome(values=values, routing=completion.routing)

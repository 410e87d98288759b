"""Task score: how likely the model finds a given continuation of each prompt, or the prompt itself."""

import math
from collections.abc import Mapping
from copy import copy
from typing import Any, Self

import orjson
import pyarrow as pa
from pydantic import Field

from model.config import ModelConfig
from model.requests.request import Completion, Request
from model.requests.text_scores import TextScores
from pipeline.config.section import Section
from pipeline.errors import RowError, RowErrorCode
from pipeline.row_requests import Asked, Finish, Outcome, RowRequests
from pipeline.task import Task
from pipeline.text.choice_tokens import AnswerTokens
from pipeline.text.prompt_format import PromptFormat

_ONE = 1 << 20  # of log-probabilities in sums, which are whole numbers


class ScoreSection(Section):
    """What is scored: a continuation of each prompt that the row brings, or all of the prompt."""

    column: str | None = Field(
        default=None,
        description="A column with each row's continuation: a text, or a list of token ids, which are taken "
        "as they are. Without it the prompt itself is scored, from its second token on.",
        examples=["answer"],
    )


class Score(Task[ScoreSection]):
    section_name = "score"
    section_model = ScoreSection
    columns = (
        ("score_logprob", pa.float64()),
        ("score_tokens", pa.int32()),
        ("score_perplexity", pa.float64()),
    )
    included = (("score_token_logprobs", pa.list_(pa.float64())),)

    def __init__(self, section: ScoreSection) -> None:
        super().__init__(section)
        self.input_columns = {section.column: "score.column"} if section.column is not None else {}
        self._model: ModelConfig | None = None

    @property
    def needs_tokenizer(self) -> bool:
        return False

    @property
    def answer_follows(self) -> bool:
        return self.section.column is not None

    def for_model(self, model: ModelConfig) -> Self:
        """Prompt and continuation must fit into the model's context, and token ids into its vocabulary."""
        fitted = copy(self)
        fitted._model = model
        return fitted

    def row_params(self, record: Mapping[str, Any], prompt_tokens: int, context: int) -> str | None:
        """The continuation, as JSON."""
        column = self.section.column
        if column is None:
            if prompt_tokens < 2:
                raise RowError(RowErrorCode.EMPTY_PROMPT, "a prompt of one token has none that can be scored")
            return None
        value = record.get(column)
        if value is None:
            raise RowError(RowErrorCode.NULL_PROMPT, f"column {column} with the continuation is null")
        if not isinstance(value, str | list):
            kind = type(value).__name__
            raise RowError(
                RowErrorCode.WRONG_TYPE, f"column {column} must be a text or token ids, got {kind}"
            )
        if not value:
            raise RowError(RowErrorCode.EMPTY_PROMPT, f"column {column}: the continuation is empty")
        if isinstance(value, list) and any(type(token_id) is not int or token_id < 0 for token_id in value):
            raise RowError(RowErrorCode.BAD_TOKEN_ID, f"column {column}: token ids must be integers from 0")
        return orjson.dumps(value).decode()

    def requests(self, prompt_format: PromptFormat | None) -> "ScoreRows":
        assert self._model is not None, "it is made for a model"
        return ScoreRows(prompt_format, self.section.column, self._model)

    def measure(self, rows: pa.Table) -> dict[str, int]:
        scored = [score for score in rows["score_logprob"].to_pylist() if score is not None]
        tokens = [count for count in rows["score_tokens"].to_pylist() if count is not None]
        return {"score_logprob_q": round(math.fsum(scored) * _ONE), "score_tokens": sum(tokens)}

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        tokens = totals["score_tokens"]
        if not tokens:
            return []
        perplexity = _perplexity(totals["score_logprob_q"] / _ONE, tokens)
        return [("perplexity", f"{perplexity:,.3f} over {tokens:,} scored tokens")]


class ScoreRows(RowRequests):
    def __init__(self, prompt_format: PromptFormat | None, column: str | None, model: ModelConfig) -> None:
        self._column = column
        self._tokens = AnswerTokens(prompt_format) if prompt_format is not None else None
        self._context, self._vocab_size = model.max_positions, model.vocab_size
        if prompt_format is not None and column is not None:
            prompt_format.answer_frame("word")  # ConfigError if answers can't be told from prompts

    def longest_prompt(self, context: int) -> int:
        """A continuation has at least one token."""
        return context if self._column is None else context - 1

    def cache_tokens(self, context: int) -> int:
        return 0

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        prompt, scored = self._parts(prompt_token_ids, params)
        return Request(key, [*prompt, *scored], readout=TextScores(scored)), _finish

    def asked(self, prompt_token_ids: list[int], params: str | None) -> Asked:
        prompt, scored = self._parts(prompt_token_ids, params)
        if self._column is None:
            return Asked(prompt_token_ids)
        return Asked(prompt, {"": scored}, called="the scored continuation")

    def facts(self) -> list[tuple[str, str]]:
        of_prompt = "every token of the prompt but its first"
        return [("scored", f"column {self._column}, behind each prompt" if self._column else of_prompt)]

    def _parts(self, prompt_token_ids: list[int], params: str | None) -> tuple[list[int], list[int]]:
        """The tokens that stand before those that are scored, and these."""
        if params is None:
            return prompt_token_ids[:1], prompt_token_ids[1:]
        prompt, scored = self._behind(prompt_token_ids, orjson.loads(params))
        if not scored:
            raise RowError(RowErrorCode.EMPTY_PROMPT, f"column {self._column}: the text has no tokens")
        if len(prompt) + len(scored) > self._context:
            raise RowError(
                RowErrorCode.PROMPT_TOO_LONG,
                f"the prompt and its continuation have {len(prompt) + len(scored)} tokens, the context has "
                f"room for {self._context}",
            )
        return prompt, scored

    def _behind(self, prompt: list[int], continuation: str | list[int]) -> tuple[list[int], list[int]]:
        if isinstance(continuation, list):
            if max(continuation) >= self._vocab_size:
                message = f"column {self._column}: token ids must be below {self._vocab_size}"
                raise RowError(RowErrorCode.BAD_TOKEN_ID, message)
            return prompt, continuation
        if self._tokens is None:
            message = f"column {self._column}: a text needs a tokenizer, which this checkpoint lacks"
            raise RowError(RowErrorCode.WRONG_TYPE, message)
        kept, scored = self._tokens.text_behind(prompt, continuation)
        return kept, [*scored]


def _finish(completion: Completion) -> Outcome:
    logprobs: list[float] = completion.answer
    total = math.fsum(logprobs)
    values = {
        "score_logprob": total,
        "score_tokens": len(logprobs),
        "score_perplexity": _perplexity(total, len(logprobs)),
        "score_token_logprobs": logprobs,
    }
    return Outcome(values=values, routing=completion.routing)


def _perplexity(logprob: float, tokens: int) -> float:
    try:
        return math.exp(-logprob / tokens)
    except OverflowError:
        return math.inf

"""Task generate: every prompt is continued, greedily or by sampling."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
import pyarrow as pa
from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from model.requests.request import Completion, Request
from model.sampling.sampling_params import SamplingParams
from pipeline.config.row_parameters import AS_WRITTEN, by_parameter, check_names, with_own_values
from pipeline.config.section import PositiveInt, Section, as_list
from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.row_requests import Asked, Finish, Outcome, RowRequests
from pipeline.task import Task
from pipeline.text.detokenization import Detokenizer
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.stops import split_stops

# The bounds keep a row's stops from costing more time and memory than its answer does.
StopText = Annotated[str, Field(min_length=1, max_length=4096)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]


class GenerationSection(Section):
    """How prompts are continued. Rows may set these keys by columns of their own, which `columns` names."""

    columns: Annotated[
        dict[str, str], BeforeValidator(by_parameter), WithJsonSchema(AS_WRITTEN, mode="validation")
    ] = Field(
        default={},
        description="Which of the other keys a row sets by a column of its own: a list of keys whose columns "
        "have their names, or a mapping of keys to columns. No other column has an effect.",
        examples=[["max_new_tokens", "seed"], {"max_new_tokens": "answer_length"}],
    )
    max_new_tokens: PositiveInt = Field(
        default=128,
        description="Tokens to generate at most; fewer where the model's context ends before.",
        examples=[512],
    )
    temperature: float = Field(
        default=0.0,
        ge=0.0,
        description="0 takes the likeliest token each time (greedy); above 0 tokens are sampled, the more "
        "freely the higher it is.",
        examples=[0.7],
    )
    top_p: float = Field(
        default=1.0,
        gt=0.0,
        le=1.0,
        description="Sample among the likeliest tokens that together have this probability; 1: among all.",
        examples=[0.95],
    )
    top_k: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="Sample among so many of the likeliest tokens; 0: among all.",
        examples=[50],
    )
    stop: Annotated[
        list[StopText], BeforeValidator(as_list, json_schema_input_type=StopText | list[StopText])
    ] = Field(
        default=[],
        max_length=64,
        description="A text that ends the answer, or up to 64 of them, of 4,096 characters each at most. The "
        "answer is cut before the one that comes first.",
        examples=[["\n\n", "Question:"]],
    )
    stop_token_ids: list[TokenId] = Field(
        default=[],
        max_length=1024,
        description="Token ids that end the answer, beside those by which the checkpoint ends it. "
        "`ignore_eos` does not ignore them.",
        examples=[[32000]],
    )
    seed: int = Field(
        default=0,
        ge=-(2**63),
        lt=2**63,
        description="Seed of the sampling. A row's random numbers depend on it and on the row's id, and on "
        "nothing else; without `input.id_column` the id is the row's file and number.",
        examples=[17],
    )
    ignore_eos: bool = Field(
        default=False,
        description="Go on behind the end of the sequence, up to `max_new_tokens`: for benchmarks.",
        examples=[True],
    )
    logprobs: bool = Field(
        default=False,
        description="Add the column `token_logprobs` with each generated token's log-probability.",
        examples=[True],
    )

    @field_validator("columns")
    @classmethod
    def _columns_of_parameters(cls, columns: dict[str, str]) -> dict[str, str]:
        check_names(columns, cls)
        return columns


class Generate(Task[GenerationSection]):
    section_name = "generation"
    section_model = GenerationSection
    generates = True
    columns = (("text", pa.string()), ("finish_reason", pa.string()))
    included = (("token_ids", pa.list_(pa.int32())),)

    def __init__(self, section: GenerationSection) -> None:
        super().__init__(section)
        self.input_columns = dict.fromkeys(section.columns.values(), "generation.columns")
        self.token_ids = {"generation.stop_token_ids": section.stop_token_ids}
        if section.logprobs or "logprobs" in section.columns:
            self.last_columns = (("token_logprobs", pa.list_(pa.float64())),)

    @property
    def needs_tokenizer(self) -> bool:
        return bool(self.section.stop) or "stop" in self.section.columns

    def row_params(self, record: Mapping[str, Any], prompt_tokens: int, context: int) -> str:
        """The section with the row's own values in it, as JSON."""
        own = with_own_values(self.section, self.section.columns, record)
        values = own.model_dump(exclude={"columns"})
        room = context - prompt_tokens + 1  # the last token is never fed back
        values["max_new_tokens"] = min(values["max_new_tokens"], room)
        return orjson.dumps(values).decode()

    def requests(self, prompt_format: PromptFormat | None) -> "GenerateRows":
        if prompt_format is not None:
            try:
                split_stops(prompt_format.tokenizer, self.section.stop)
            except ValueError as error:
                raise ConfigError(f"generation.stop: {error}") from error
        return GenerateRows(prompt_format)

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        return [("generated tokens", f"{totals['generated_tokens']:,}")]


class GenerateRows(RowRequests):
    def __init__(self, prompt_format: PromptFormat | None) -> None:
        self._format = prompt_format

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        values = orjson.loads(params or "{}")
        stop = values.pop("stop", [])
        text = None
        if self._format is not None:
            tokenizer = self._format.tokenizer
            try:
                stop, ids = split_stops(tokenizer, stop)
            except ValueError as error:
                raise RowError(RowErrorCode.BAD_PARAMETER, f"stop: {error}") from error
            values["stop_token_ids"] += ids
            text = Detokenizer(tokenizer, stop, self._format.answer_opening)
        request = Request(
            key,
            prompt_token_ids,
            SamplingParams(**values),
            should_stop=text.add if text is not None else None,
        )

        def finish(completion: Completion) -> Outcome:
            values: dict[str, Any] = {
                "text": text.finish() if text is not None else None,
                "finish_reason": completion.finish_reason,
                "generated_tokens": len(completion.token_ids),
                "token_ids": completion.token_ids,
            }
            if completion.logprobs is not None:
                values["token_logprobs"] = completion.logprobs
            return Outcome(values=values, routing=completion.routing)

        return request, finish

    def asked(self, prompt_token_ids: list[int], params: str | None) -> Asked:
        values = orjson.loads(params or "{}")
        tokens = self._format.tokenizer.trusted_tokens if self._format else {}
        ids = [*values["stop_token_ids"], *(tokens[stop] for stop in values["stop"] if stop in tokens)]
        texts = [stop for stop in values["stop"] if stop not in tokens]
        ends = [f"at the text {json.dumps(stop, ensure_ascii=False)}" for stop in texts]
        ends.append(f"after {values['max_new_tokens']:,} tokens")
        return Asked(prompt_token_ids, at_end_ids=not values["ignore_eos"], stop_token_ids=ids, ends=ends)

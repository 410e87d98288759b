"""The job file: one pydantic model a section, every key checked, unknown keys refused.

`JobConfig.load("job.yaml", overrides=["input.path=x.jsonl"])` reads it. Errors are `ConfigError`s that
name the key, what was given and what is allowed.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from pipeline.errors import ConfigError
from pipeline.storage.urls import redact, without_credentials

Auto = Literal["auto"]
PositiveInt = Annotated[int, Field(gt=0)]
Location = Annotated[str, AfterValidator(without_credentials)]

# In quarantine, of one shard; with more, the model or the machine is likely to be broken, and the job fails.
MAX_CRASHED_ROWS = 8
NOT_BUILT = {"score", "classify", "tag", "embed", "nf4", "fp8"}


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _distinct(values: list[str]) -> list[str]:
    doubled = sorted({value for value in values if values.count(value) > 1})
    if doubled:
        raise ValueError(f"{', '.join(doubled)} stands there twice")
    return values


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class ModelSection(Section):
    path: Location
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantization: Literal["none", "int8"] = "none"
    tensor_parallel: PositiveInt = 1
    attention: Literal["auto", "sdpa", "flash"] = "auto"

    @model_validator(mode="after")
    def _int8_computes_in_float32(self) -> "ModelSection":
        if self.quantization == "int8" and self.dtype not in ("auto", "float32"):
            raise ValueError(f"quantization int8 needs dtype auto or float32, got {self.dtype}")
        return self

    @model_validator(mode="after")
    def _flash_computes_in_16_bits(self) -> "ModelSection":
        if self.attention == "flash" and self.dtype == "float32":
            raise ValueError("attention flash needs dtype auto, bfloat16 or float16, got float32")
        return self


class PromptSource(Section):
    """Where a row's prompt comes from: exactly one of these keys."""

    template: str | None = None
    column: str | None = None
    messages: str | None = None
    token_ids: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "PromptSource":
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of template, column, messages, token_ids (found: {found})")
        return self


class InputSection(Section):
    path: Annotated[list[Location], BeforeValidator(_as_list), Field(min_length=1)]
    format: Literal["auto", "jsonl", "parquet"] = "auto"
    prompt: PromptSource
    chat: bool | Auto = "auto"
    id_column: str | None = None
    keep: Annotated[list[str], AfterValidator(_distinct)] = []
    group_by: str | None = None  # of more than 256 groups, the smaller ones are counted together as (other)
    shard_rows: PositiveInt = 2048


class LabelSection(Section):
    """`choices: [a, b]`, or `{name: "text as the model says it"}`; kept as the mapping."""

    choices: dict[str, str]
    known_column: str | None = None  # a kept column with the right labels: the report gives the accuracy

    @model_validator(mode="before")
    @classmethod
    def _names_stand_for_themselves(cls, data: Any) -> Any:
        choices = data.get("choices") if isinstance(data, dict) else None
        if isinstance(choices, list):
            for choice in choices:
                if not isinstance(choice, str | int) or isinstance(choice, bool):
                    hint = " (YAML reads yes, no, on, off so)" if isinstance(choice, bool) else ""
                    raise ValueError(f"each must be text, got {choice!r}{hint}: put it in quotes")
            if len(set(map(str, choices))) != len(choices):
                raise ValueError(f"choices must differ from each other, got {choices}")
            return {**data, "choices": {str(choice): str(choice) for choice in choices}}
        return data

    @model_validator(mode="after")
    def _at_least_two(self) -> "LabelSection":
        if len(self.choices) < 2:
            raise ValueError(f"choices must be at least two, got {list(self.choices)}")
        if len(set(self.choices.values())) != len(self.choices):
            raise ValueError("two choices have the same text, so no model could tell them apart")
        return self


class GenerationSection(Section):
    max_new_tokens: PositiveInt = 128  # or fewer, where the context ends before
    temperature: Annotated[float, Field(ge=0.0)] = 0.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    top_k: Annotated[int, Field(ge=0, lt=2**31)] = 0
    stop: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_as_list)] = []
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    ignore_eos: bool = False
    logprobs: bool = False


class EngineSection(Section):
    # auto: what the cluster holds and the job keeps busy. On GPUs each has a shard; on CPUs there are cores,
    # memory, four shards and two batches of rows for each, and cores that are left become its threads.
    replicas: PositiveInt | Auto = "auto"
    threads: PositiveInt | Auto = "auto"  # of each rank on CPUs
    max_batch_rows: PositiveInt | Auto = "auto"
    kv_cache_tokens: PositiveInt | Auto = "auto"
    # shard: the file of a shard gets the same bytes whatever was killed and however many replicas there are,
    # since each shard runs alone in its replica. It costs speed: slots stay empty while a shard's last rows
    # run, so make shards large. `auto` is then 1 thread, 128 rows, and 65,536 tokens or the longest row's; a
    # second run may change neither these nor tensor_parallel nor the kind of machine.
    deterministic: Literal["none", "shard"] = "none"
    # A replica that made no step for so many seconds counts as dead and is started anew; so does the process
    # of a task that was stopped for as long.
    progress_deadline_s: Annotated[float, Field(gt=0)] = 300.0


class RouterSection(Section):
    statistics: bool = True
    per_row: bool = True
    trace_fraction: Annotated[float, Field(ge=0.0, le=0.0)] = 0.0


class OutputSection(Section):
    path: Location
    include: Annotated[
        list[Literal["prompt", "token_ids", "prompt_token_ids"]], AfterValidator(_distinct)
    ] = []


class ErrorsSection(Section):
    max_error_rate: Annotated[float, Field(ge=0.0, le=1.0)] = 0.05
    max_attempts: PositiveInt = 3
    max_crashed_rows: PositiveInt = MAX_CRASHED_ROWS


class JobConfig(Section):
    job: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    task: Literal["generate", "label"]
    model: ModelSection
    input: InputSection
    label: LabelSection | None = None
    generation: GenerationSection = GenerationSection()
    engine: EngineSection = EngineSection()
    router: RouterSection = RouterSection()
    output: OutputSection
    errors: ErrorsSection = ErrorsSection()

    @model_validator(mode="after")
    def _sections_fit_the_task(self) -> "JobConfig":
        if self.task == "label" and self.label is None:
            raise ValueError("task label needs a section label with choices")
        if self.task != "label" and self.label is not None:
            raise ValueError(f"section label has no effect with task {self.task}: remove it")
        if self.label and self.label.known_column not in (None, *self.input.keep):
            raise ValueError(f"label.known_column {self.label.known_column!r} must be one of input.keep")
        if self.task != "generate" and "generation" in self.model_fields_set:
            raise ValueError(f"section generation has no effect with task {self.task}: remove it")
        return self

    @classmethod
    def load(cls, path: str | Path, overrides: list[str] | None = None) -> "JobConfig":
        """Read and check a job file; `overrides` are `section.key=value`, the value in YAML."""
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot read the job file: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid YAML{_place(error)}") from None
        if not isinstance(data, dict):
            raise ConfigError(f"{path}: a job file is a mapping of sections, this is {type(data).__name__}")
        for override in overrides or []:
            _apply(data, override)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            sentences = dict.fromkeys(map(_describe, error.errors()))
            raise ConfigError(f"{path}: " + "; ".join(sentences)) from None


def _place(error: Exception) -> str:
    """Where the YAML goes wrong, without the line itself, which PyYAML would quote."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return ""
    return f": line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {error.problem}"


def _apply(data: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    *sections, key = dotted.split(".")
    if not equals or not key:
        raise ConfigError(f"--set {redact(override)}: write it as section.key=value")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set {dotted}: {section} is not a section")
    try:
        data[key] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {dotted}: the value is not valid YAML") from None


def _describe(error: Any) -> str:
    """One validation error as a sentence; of a union's branches only the key itself is named."""
    given = redact(error["input"]) if isinstance(error["input"], str) else error["input"]
    where = ".".join(str(part) for part in error["loc"] if part not in ("constrained-int", "literal['auto']"))
    what = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        what = "unknown key"
    elif isinstance(given, str) and given in NOT_BUILT:
        what = f"{given} is not built yet; {what[0].lower()}{what[1:]}"
    elif isinstance(given, str | int | float | None) and error["type"] != "missing":
        what = f"{what}, got {given!r}"
    return f"{where}: {what}" if where else what

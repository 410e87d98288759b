"""The job file: one pydantic model a section, every key checked, unknown keys refused.

`JobConfig.load("job.yaml", overrides=["input.path=x.jsonl"])` reads it. Errors are `ConfigError`s that
name the key, what was given and what is allowed. Each task brings its own section: see `pipeline.task`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, create_model, model_validator

from pipeline.config.engine import EngineSection
from pipeline.config.errors import ErrorsSection
from pipeline.config.explain import config_error, yaml_location
from pipeline.config.input import InputSection
from pipeline.config.job_yaml import MisreadError, read_yaml
from pipeline.config.model import ModelSection
from pipeline.config.output import INCLUDED, OutputSection
from pipeline.config.router import RouterSection
from pipeline.config.section import Section
from pipeline.errors import ConfigError
from pipeline.registered_tasks import tasks
from pipeline.storage.credentials import redact_value
from pipeline.task import Task


class _Job(Section):
    """A job of batch inference: which rows, which model, which task, and where the results go."""

    job: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=100,
        description="The job's name, for progress and the report: letters, digits, dot, dash, underscore.",
        examples=["support-tickets"],
    )
    task: str
    model: ModelSection = Field(description="Which checkpoint, and how it is computed.")
    input: InputSection = Field(description="The rows, and their way into prompts.")
    engine: EngineSection = Field(default=EngineSection(), description="How the model is run.")
    router: RouterSection = Field(default=RouterSection(), description="What is counted of the router.")
    output: OutputSection = Field(description="Where the results go.")
    errors: ErrorsSection = Field(default=ErrorsSection(), description="How many errors a job may have.")

    @model_validator(mode="after")
    def _sections_fit_the_task(self) -> Self:
        own = tasks()[self.task]
        for other in tasks().values():
            given = other.section_name in self.model_fields_set and getattr(self, other.section_name)
            if other is not own and given:
                raise ValueError(
                    f"section {other.section_name} has no effect with task {self.task}: remove it"
                )
        section = getattr(self, own.section_name)
        if section is None:
            wanted = ", ".join(own.required_keys())
            raise ValueError(f"task {self.task} needs a section {own.section_name} with {wanted}")
        own.check(section, self.input.kept_names)
        known = {*INCLUDED, *(name for name, _ in own.included)}
        for name in self.output.include:
            if name not in known:  # a column of another task
                raise ValueError(f"output.include: {name} has no effect with task {self.task}: remove it")
        return self

    @model_validator(mode="after")
    def _the_device_can_compute_so(self) -> Self:
        device = self.engine.device
        if device == "cpu" and self.model.attention == "flash":
            raise ValueError("model.attention: flash is for GPUs, but engine.device is cpu; set it to auto")
        if device == "gpu" and self.model.quantization == "int8":
            raise ValueError("model.quantization: int8 is for CPUs, but engine.device is gpu; set it to none")
        return self

    def make_task(self) -> Task[Any]:
        """The job's task, with its section."""
        task = tasks()[self.task]
        return task(getattr(self, task.section_name))

    @classmethod
    def load(cls, path: str | Path, overrides: list[str] | None = None) -> Self:
        """Read and check a job file; `overrides` are `section.key=value`, the value in YAML."""
        shown = redact_value(str(path))
        try:
            data = read_yaml(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{shown}: cannot read the job file: {error.strerror}") from None
        except MisreadError as error:
            raise ConfigError(f"{shown}{yaml_location(error)}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{shown}: not valid YAML{yaml_location(error)}") from None
        if not isinstance(data, dict):
            raise ConfigError(f"{shown}: a job file is a mapping of sections, this is {type(data).__name__}")
        for override in overrides or []:
            _apply(data, override)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise config_error(path, cls, error) from None


def _job_model() -> type[_Job]:
    """The job file's model, with the names and the sections of all registered tasks."""
    fields: dict[str, Any] = {
        "task": (
            Literal[tuple(tasks())],
            Field(description="What is done with each row.", examples=list(tasks())),
        )
    }
    for name, task in tasks().items():
        if (
            task.section_name in fields
            or hasattr(_Job, task.section_name)
            or task.section_name in _Job.model_fields
        ):
            raise ConfigError(f"task {name}: its section {task.section_name} has the name of another key")
        default = None if task.required_keys() else task.section_model()
        kind = task.section_model | None if default is None else task.section_model
        what = f"For task {name}. {task.section_model.__doc__}"
        fields[task.section_name] = (kind, Field(default=default, description=what))
    return create_model("JobConfig", __base__=_Job, __module__=__name__, __doc__=_Job.__doc__, **fields)


if TYPE_CHECKING:
    JobConfig = _Job
else:
    JobConfig = _job_model()


def _apply(data: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    *sections, key = dotted.split(".")
    if not equals or not key or "/" in dotted:  # a URL without its key
        raise ConfigError(f"--set {redact_value(override)}: write it as section.key=value")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set {dotted}: {section} is not a section")
    try:
        data[key] = read_yaml(text)
    except MisreadError as error:
        raise ConfigError(f"--set {dotted}: {error.problem}") from None
    except yaml.YAMLError:
        raise ConfigError(
            f"--set {dotted}: the value is not valid YAML; put it in quotes within quotes"
        ) from None

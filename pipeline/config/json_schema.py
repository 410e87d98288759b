"""The job file's JSON Schema, by which editors complete and check job files: `python -m jobs schema`.

It describes what people may write: one text where a list may stand, labels as a list or a mapping. It knows
the keys of each section and their limits. Only `JobConfig` checks what needs more than one key, such as a
known column that must be kept. It refuses values that pydantic would convert, such as a number in quotes.
"""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from pipeline.config.job import JobConfig
from pipeline.registered_tasks import tasks


class _WithoutTitles(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # a key's title would be its name again


def job_schema() -> dict[str, Any]:
    """The JSON Schema of job files, with the sections of all tasks that are installed."""
    schema = JobConfig.model_json_schema(schema_generator=_WithoutTitles)
    for section in schema["$defs"].values():
        del section["title"]  # the name of a class
    for name in schema["properties"].keys() & _sections(schema):
        schema["properties"][name].pop("default", None)  # each of its keys states its own default
    schema["$defs"]["InputSection"]["properties"]["prompt"].pop("default", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "A job of mixtray",
        "allOf": [_only_sections_of(name) for name in tasks()],
    }


def _sections(schema: dict[str, Any]) -> set[str]:
    return {name for name, key in schema["properties"].items() if "$ref" in str(key)}


def _only_sections_of(name: str) -> dict[str, Any]:
    """The rule for jobs of this task: its section must be there if it has required keys, others must not.

    It says where prompts come from, or `input.prompt` does.
    """
    own = tasks()[name]
    prompt = {"not": {"required": ["prompt"]}} if own.own_prompts else {"required": ["prompt"]}
    of_tasks = {task.section_name: {"type": "object" if task is own else "null"} for task in tasks().values()}
    return {
        "if": {"properties": {"task": {"const": name}}, "required": ["task"]},
        "then": {
            "properties": {"input": prompt, **of_tasks},
            "required": [own.section_name] if own.required_keys() else [],
        },
    }

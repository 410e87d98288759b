"""Writes `docs/job-file.md`: every key of the job file, from the descriptions that the sections carry.

`python -m pipeline.config.reference` prints the page. A section's intro is the docstring of its class; what a
key takes is said in the words of its JSON Schema.
"""

import json
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.config.explain import sections_of
from pipeline.config.job import JobConfig
from pipeline.config.json_schema import job_schema
from pipeline.registered_tasks import tasks

_HEAD = """\
# The job file

A job is one YAML file: which rows, which model, which task, and where the results go. This is all that
one needs:

```yaml
# yaml-language-server: $schema=../job.schema.json
job: support-tickets
task: label
model: {path: configs/demo/tiny-mixtral}
input:
  path: configs/demo/tickets/*.jsonl
  prompt: {template: "Which queue is this ticket for: billing or shipping?\\n{{ ticket }}"}
label: {choices: [billing, shipping]}
output: {path: out/tickets}
```

- A key that no section has is an error, and so is a section that the job's task does not use.
- Any key can be set on the command line, its value in YAML: `--set engine.replicas=2`,
  `--set "input.keep=[language, queue]"`.
- Relative paths are looked up where the command runs.
- Credentials do not belong here, nor into a URL: the stores take them from the environment.
- `python -m jobs plan job.yaml` checks the file and shows what a run would do;
  `python -m jobs doctor job.yaml` also checks the machines.
- The first line is for editors with a YAML language server, which then complete the keys and explain them.
  It names the [JSON Schema](../configs/job.schema.json), by a path from the job file's folder;
  `python -m jobs schema` prints it.

This page is made from the models that check job files (`make docs` makes it anew), so it lists what this
version takes. In its tables *required* stands for a key without a default.
"""
_COLUMNS = "| key | type | default | meaning | example |\n|---|---|---|---|---|\n"


def page() -> str:
    """The whole page, in Markdown."""
    schema = job_schema()
    sections = _in_order(sections_of(JobConfig))
    keys = {name: field for name, field in JobConfig.model_fields.items() if name not in sections}
    parts = [_HEAD, "## The job's own keys\n\n" + _table(keys, schema["properties"])]
    for name, model in sections.items():
        parts += _section(name, model, schema)
    return "\n".join(parts)


def _in_order(sections: dict[str, type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """The sections in the order in which people write them: those of the tasks follow the input."""
    of_tasks = [task.section_name for task in tasks().values()]
    others = [name for name in sections if name not in of_tasks]
    after = others.index("input") + 1
    return {name: sections[name] for name in (*others[:after], *of_tasks, *others[after:])}


def _section(name: str, model: type[BaseModel], schema: dict[str, Any]) -> Iterator[str]:
    """A heading, an intro and a table; then the same for each section within."""
    inner = sections_of(model)
    keys = {key: field for key, field in model.model_fields.items() if key not in inner}
    known = schema["$defs"][model.__name__].get("properties", {})
    task = next((task_name for task_name, task in tasks().items() if task.section_name == name), None)
    intro = (f"For `task: {task}`. " if task else "") + str(model.__doc__)
    yield f"## {name}\n\n{intro}\n" + (f"\n{_table(keys, known)}" if keys else "")
    for key, section in inner.items():
        yield from _section(f"{name}.{key}", section, schema)
    for key, section in _named_sections(model).items():
        yield from _section(f"{name}.{key}.NAME", section, schema)


def _named_sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The keys of a model that hold sections by names of the author's choice, each with its model."""
    found = {}
    for key, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            *_, values = get_args(kind) or (None,)
            if get_origin(kind) is dict and isinstance(values, type) and issubclass(values, BaseModel):
                found[key] = values
    return found


def _table(keys: dict[str, FieldInfo], known: dict[str, Any]) -> str:
    lines = [
        [f"`{key}`", type_words(known[key]), _default(field), str(field.description), _examples(field)]
        for key, field in keys.items()
    ]
    return _COLUMNS + "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "*required*"
    return "not set" if field.default is None else f"`{flow(field.default)}`"


def _examples(field: FieldInfo) -> str:
    return " or ".join(f"`{flow(example)}`" for example in field.examples or [])


def flow(value: Any) -> str:
    """A value in YAML, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=1 << 30)
    text = text.removesuffix("\n").removesuffix("\n...")
    return json.dumps(value, ensure_ascii=False) if "\n" in text else text


def type_words(schema: dict[str, Any]) -> str:
    """What a key's JSON Schema allows, in words."""
    if "$ref" in schema:
        return "a section, see below"
    if "properties" in schema:
        return f"`{{{', '.join(schema['properties'])}}}`"
    if "anyOf" in schema:
        kinds = [type_words(kind) for kind in schema["anyOf"] if kind != {"type": "null"}]
        apart = ", or " if any("of" in kind.split() for kind in kinds) else " or "
        return apart.join(sorted(kinds, key=lambda kind: not kind.startswith("`auto`")))
    if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return " or ".join(f"`{value}`" for value in values)
    if schema["type"] == "array":
        most = f"up to {schema['maxItems']:,} " if "maxItems" in schema else ""
        return f"list of {most}{type_words(schema['items'])}"
    if schema["type"] == "object":
        return f"mapping of text to {type_words(schema['additionalProperties'])}"
    if isinstance(schema["type"], list):
        return " and ".join(type_words({"type": kind}) for kind in schema["type"])
    return {"string": "text", "boolean": "`true` or `false`"}.get(schema["type"]) or _number(schema)


def _number(schema: dict[str, Any]) -> str:
    if "minimum" in schema and schema["minimum"] == schema.get("maximum"):
        return f"only {_short(schema['minimum'])}"
    limits = []
    if "exclusiveMinimum" in schema:
        limits.append(f"above {_short(schema['exclusiveMinimum'])}")
    if "minimum" in schema:
        limits.append(f"from {_short(schema['minimum'])}")
    if "exclusiveMaximum" in schema:
        limits.append(f"below {_short(schema['exclusiveMaximum'])}")
    if "maximum" in schema:
        limits.append(f"up to {_short(schema['maximum'])}")
    return " ".join([schema["type"], *limits]).replace(" below", ", below")


def _short(limit: float) -> str:
    """A limit in few characters: powers of two as such where they are large, other large ones in groups."""
    whole = int(abs(limit))
    if whole < 1 << 16:
        return f"{limit:g}"
    sign = "-" if limit < 0 else ""
    return sign + (f"2^{whole.bit_length() - 1}" if whole.bit_count() == 1 else f"{whole:,}")


if __name__ == "__main__":
    print(page(), end="")

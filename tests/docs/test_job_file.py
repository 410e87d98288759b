"""The JSON Schema of job files, and the page of their keys: both as committed, whole, and right."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from pipeline.config import reference
from pipeline.config.explain import sections_of
from pipeline.config.job import JobConfig
from pipeline.config.json_schema import job_schema
from pipeline.config.reference import flow, type_words
from pipeline.registered_tasks import tasks
from tests.docs.markdown import page, sections, table

ROOT = Path(__file__).parents[2]
JOBS = sorted((ROOT / "configs").rglob("*.yaml"))
COMMITTED = (ROOT / "configs" / "job.schema.json").read_text(encoding="utf-8")
SCHEMA = Draft202012Validator(json.loads(COMMITTED))
LABEL: dict[str, Any] = {
    "job": "x",
    "task": "label",
    "model": {"path": "m"},
    "input": {"path": "i.jsonl", "prompt": {"column": "c"}, "keep": ["queue"]},
    "label": {"choices": ["a", "b"]},
    "output": {"path": "o"},
}
GENERATE = {key: value for key, value in LABEL.items() if key != "label"} | {"task": "generate"}
ANSWER = GENERATE | {
    "task": "answer", "input": {"path": "i.jsonl"}, "answer": {"question": "q", "context": "c"}
}  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    task: GENERATE | {"task": task} for task in ("score", "classify", "tag", "embed")
}
OTHERS |= {"answer": ANSWER, "generation": GENERATE, "generate": GENERATE}


def keys(model: type[BaseModel] = JobConfig, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every key that is no section."""
    inner = sections_of(model)
    here = [(*path, name) for name in model.model_fields if name not in inner]
    return here + [key for name, section in inner.items() for key in keys(section, (*path, name))]


def field(path: tuple[str, ...]) -> Any:
    model: type[BaseModel] = JobConfig
    for name in path[:-1]:
        model = sections_of(model)[name]
    return model.model_fields[path[-1]]


def with_key(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A job that is right with this value at this key."""
    first = value if path == ("task",) else path[0]
    if isinstance(value, list) and "score_token_logprobs" in value:
        first = "score"
    job = copy.deepcopy(OTHERS.get(first, LABEL) if isinstance(first, str) else LABEL)
    if path[:2] == ("input", "prompt"):
        job["input"]["prompt"] = {}
    section = job
    for name in path[:-1]:
        section = section.setdefault(name, {})
    if path == ("label", "questions"):
        section.clear()
    section[path[-1]] = value
    return job


def accepted_by_pydantic(job: dict[str, Any]) -> bool:
    try:
        JobConfig.model_validate(job)
    except ValidationError:
        return False
    return True


def test_the_command_prints_the_committed_schema() -> None:
    command = [sys.executable, "-m", "jobs", "schema"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout == COMMITTED, "python -m jobs schema > configs/job.schema.json"
    schema = json.loads(printed.stdout)
    Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == list(JobConfig.model_fields)


@pytest.mark.parametrize("file", JOBS, ids=lambda file: file.stem)
def test_example_jobs_name_the_schema_and_fit_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    [named] = re.findall(r"\A# yaml-language-server: \$schema=(\S+)\n", text)
    assert (file.parent / named).resolve() == ROOT / "configs" / "job.schema.json"
    assert not list(SCHEMA.iter_errors(yaml.safe_load(text)))


@pytest.mark.parametrize("key", keys(), ids=".".join)
def test_every_key_has_a_description_and_examples_that_fit(key: tuple[str, ...]) -> None:
    assert field(key).description, f"{'.'.join(key)} lacks a description"
    assert field(key).examples, f"{'.'.join(key)} lacks an example"
    for example in field(key).examples:
        job = with_key(key, example)
        JobConfig.model_validate(job)
        assert not list(SCHEMA.iter_errors(job))
        assert yaml.safe_load(flow(example)) == example
        assert "\n" not in flow(example)


@pytest.mark.parametrize("section", ["", *sections_of(JobConfig), "input.prompt"])
def test_every_section_has_an_intro(section: str) -> None:
    model: type[BaseModel] = JobConfig
    for name in filter(None, section.split(".")):
        assert model.model_fields[name].description or sections_of(model)[name].__doc__
        model = sections_of(model)[name]
    assert "__doc__" in vars(model)
    assert model.__doc__


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("input.path", ["a.jsonl", "b.jsonl"]),
        ("input.path", "a.jsonl"),
        ("label.choices", ["billing", 1]),
        ("label.choices", {"positive": "good", "negative": "bad"}),
        ("label.choices", {"positive": 1, "negative": 0}),
        ("label.known_column", "queue"),
        ("label.known_column", None),
        ("generation.columns", ["seed"]),
        ("generation.columns", {"max_new_tokens": "answer_length"}),
        ("generation.stop", "\n"),
        ("generation.stop", ["\n", "."]),
        ("input.chat", False),
        ("engine.replicas", "auto"),
    ],
)
def test_what_people_write_is_accepted(path: str, value: object) -> None:
    job = with_key(tuple(path.split(".")), value)
    assert accepted_by_pydantic(job)
    assert not list(SCHEMA.iter_errors(job))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("unknown", 1),
        ("input.pth", "a"),
        ("input.path", []),
        ("input.path", 5),
        ("input.keep", ["queue", "queue"]),
        ("input.prompt.colunm", "text"),
        ("input.prompt", {}),
        ("input.prompt", {"column": "a", "template": "b"}),
        ("input.prompt", {"column": None}),
        ("task", "translate"),
        ("job", "with space"),
        ("label", None),
        ("label.choices", ["one"]),
        ("label.choices", ["yes", True]),
        ("label.choices", {"yes": True, "no": "no"}),
        ("generation.columns", ["seed", "seed"]),
        ("generation.columns", [1]),
        ("generation.stop", [""]),
        ("generation.temperature", -1),
        ("generation.top_p", 0),
        ("model.quantization", "fp8"),
        ("engine.replicas", 0),
        ("engine.replicas", "many"),
        ("router.trace_fraction", 0.1),
        ("output.include", ["text"]),
    ],
)
def test_what_is_wrong_is_refused_by_both(path: str, value: object) -> None:
    job = with_key(tuple(path.split(".")), value)
    assert not accepted_by_pydantic(job)
    assert list(SCHEMA.iter_errors(job))


def test_a_section_of_another_task_and_a_missing_one_are_refused() -> None:
    label = LABEL["label"]
    for job in (LABEL | {"generation": {}}, GENERATE | {"label": label}, GENERATE | {"task": "label"}):
        assert not accepted_by_pydantic(job)
        assert list(SCHEMA.iter_errors(job))
    assert not list(SCHEMA.iter_errors(GENERATE | {"label": None}))


def test_prompts_come_from_the_input_or_from_the_tasks_section() -> None:
    assert accepted_by_pydantic(ANSWER)
    assert not list(SCHEMA.iter_errors(ANSWER))
    for job in (ANSWER | {"input": GENERATE["input"]}, GENERATE | {"input": {"path": "i.jsonl"}}):
        assert not accepted_by_pydantic(job)
        assert list(SCHEMA.iter_errors(job))


def test_the_page_is_what_the_program_writes() -> None:
    assert page("job-file.md") == reference.page(), "make docs, or python -m pipeline.config.reference"


def test_the_page_has_every_key_in_its_section() -> None:
    of_page = sections(page("job-file.md"))
    for path in {key[:-1] for key in keys()}:
        rows = table(of_page[".".join(path) or "The job's own keys"])
        assert {row["key"].strip("`") for row in rows} == {key[-1] for key in keys() if key[:-1] == path}
        assert all(all(row.values()) for row in rows), "an empty cell"


def test_the_pages_own_job_runs_and_fits() -> None:
    [text] = re.findall(r"^```yaml\n(.*?)^```", page("job-file.md"), re.MULTILINE | re.DOTALL)
    job = yaml.safe_load(text)
    JobConfig.model_validate(job)
    assert not list(SCHEMA.iter_errors(job))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (
            {"type": "integer", "minimum": -(2**63), "exclusiveMaximum": 2**63},
            "integer from -2^63, below 2^63",
        ),
        ({"type": "number", "exclusiveMinimum": 0.0, "maximum": 1.0}, "number above 0 up to 1"),
        ({"anyOf": [{"type": "boolean"}, {"const": "auto"}]}, "`auto` or `true` or `false`"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "list of `a` or `b`"),
    ],
)
def test_types_in_words(schema: dict[str, Any], words: str) -> None:
    assert type_words(schema) == words


def test_the_schema_is_of_all_tasks() -> None:
    assert [rule["if"]["properties"]["task"]["const"] for rule in job_schema()["allOf"]] == list(tasks())


def test_a_limit_is_told_as_it_is() -> None:
    assert (
        type_words({"type": "number", "exclusiveMinimum": 0, "maximum": 604_800})
        == "number above 0 up to 604,800"
    )
    assert type_words({"type": "integer", "minimum": -(2**63)}) == "integer from -2^63"
    assert (
        type_words({"type": "array", "maxItems": 1024, "items": {"type": "string"}})
        == "list of up to 1,024 text"
    )

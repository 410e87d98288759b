"""The register of tasks: built-in ones, those of other packages, and what is refused."""

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import pipeline.registered_tasks
from pipeline.config.job import JobConfig, _job_model
from pipeline.errors import ConfigError
from pipeline.registered_tasks import BUILT_IN, ENTRY_POINTS, tasks
from pipeline.rows.result_rows import doubled_names
from pipeline.task import Task
from pipeline.tasks.answer import Answer
from pipeline.tasks.classify import Classify
from pipeline.tasks.embed import Embed
from pipeline.tasks.generate import Generate, GenerationSection
from pipeline.tasks.label import Label, LabelSection
from pipeline.tasks.score import Score
from pipeline.tasks.tag import Tag

Others = Callable[..., None]


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Iterator[Others]:
    """Has the register find these entry points beside the built-in tasks; as before at the end."""

    def install(**named: str) -> None:
        points = [EntryPoint(name, value, ENTRY_POINTS) for name, value in named.items()]
        monkeypatch.setattr(pipeline.registered_tasks, "entry_points", lambda group: points)
        tasks.cache_clear()

    yield install
    monkeypatch.undo()
    tasks.cache_clear()


class Third(Generate):
    section_name = "third"


def test_the_tasks_that_mixtray_brings_are_listed() -> None:
    assert {name: tasks()[name] for name in BUILT_IN} == {
        "generate": Generate, "label": Label, "score": Score, "classify": Classify, "tag": Tag,
        "answer": Answer, "embed": Embed,
    }  # fmt: skip
    folder = Path(pipeline.registered_tasks.__file__).with_name("tasks")
    files = {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
    assert files >= BUILT_IN.keys(), "a task has a file of its name"
    assert {file.partition("_")[0] for file in files} == BUILT_IN.keys(), "others begin with a task's name"


def test_a_task_of_another_package_stands_behind_the_built_in_ones(others: Others) -> None:
    others(third=f"{__name__}:Third") if __name__ in sys.modules else pytest.fail("not importable by name")
    assert list(tasks()) == [*BUILT_IN, "third"]
    assert tasks()["third"] is Third


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        ({"third": "no_such_module:Third"}, r"task third \(no_such_module:Third\): cannot be loaded"),
        ({"third": "pipeline.errors:ConfigError"}, "must be a class derived from pipeline.task.Task"),
        ({"third": "pipeline.tasks.label:LabelSection"}, "must be a class derived from pipeline.task.Task"),
        ({"third": "pipeline.tasks.label:Label"}, "its name or its section is that of task label"),
        ({"label": "pipeline.tasks.generate:Generate"}, "its name or its section is that of task"),
    ],
)
def test_a_task_that_cannot_be_used_is_an_error(others: Others, points: Any, sentence: str) -> None:
    others(**points)
    with pytest.raises(ConfigError, match=sentence):
        tasks()


def test_a_task_is_made_from_its_section_alone() -> None:
    config = JobConfig.model_validate(
        {
            "job": "x",
            "task": "generate",
            "model": {"path": "m"},
            "input": {"path": "i.jsonl", "prompt": {"column": "c"}},
            "generation": {"max_new_tokens": 3},
            "output": {"path": "o"},
        }
    )
    task: Task[Any] = config.make_task()
    assert isinstance(task, Generate)
    assert task.section.max_new_tokens == 3


class OwnColumns(Third):
    columns = (
        ("label", pa.string()),
        ("kept_unfit", pa.string()),
        ("third", pa.string()),
        ("third", pa.string()),
    )
    last_columns = (("status", pa.string()),)


def test_columns_that_stand_in_the_output_already_are_named() -> None:
    assert doubled_names(OwnColumns(GenerationSection())) == ["kept_unfit", "status", "third"]
    for built_in in (Generate(GenerationSection()), Label(LabelSection(choices={"a": "a", "b": "b"}))):
        assert doubled_names(built_in) == []


@pytest.mark.parametrize("name", ["engine", "job", "model_config"])
def test_a_section_cannot_take_another_keys_name(
    others: Others, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Third, "section_name", name)
    others(third=f"{__name__}:Third")
    with pytest.raises(ConfigError, match=f"task third: its section {name} has the name of another key"):
        _job_model()

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.reading.columns import columns_to_read, required_columns
from pipeline.shards.make_plan import make_plan
from pipeline.tasks.generate import Generate, GenerationSection
from tests.pipeline.reading.inputs import lines, section, write, write_parquet


def test_missing_columns_are_named_with_those_that_there_are(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", b"not json\n" + lines(3, language="en"))
    with pytest.raises(ConfigError, match=r"input.keep: no column 'lang' in a.jsonl.*'text', 'language'"):
        make_plan(section(str(tmp_path), keep=["lang"]))
    with pytest.raises(ConfigError, match=r"input.prompt.template: no column 'body'"):
        make_plan(section(str(tmp_path), prompt={"template": "{{ body }} {{ text }}"}))
    write_parquet(tmp_path / "z.parquet", 3, 3)
    with pytest.raises(ConfigError, match=r"input.group_by: no column 'language' in z.parquet"):
        make_plan(section(str(tmp_path), group_by="language"))


def test_a_column_that_only_some_lines_have_is_there(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(3) + b'{"text": "x", "id": 1}\n')
    assert make_plan(section(str(tmp_path), id_column="id")).rows == 4


class ReadsMore(Generate):
    def __init__(self, section: GenerationSection) -> None:
        super().__init__(section)
        self.input_columns = {"answer": "score.column", "k": "score.other"}


def test_columns_to_read_are_the_needed_ones_and_the_tasks_own() -> None:
    given = section("x", keep=["k", "text"], id_column="i", group_by="g")
    assert columns_to_read(given) == ["text", "i", "k", "g"]
    columns = columns_to_read(given, Generate(GenerationSection()))
    assert columns == ["text", "i", "k", "g"], "none by which a row could set a parameter by chance"
    task = ReadsMore(GenerationSection())
    assert "answer" in columns_to_read(given, task)
    assert required_columns(given, task)["answer"] == "score.column"


def test_a_column_that_the_task_names_must_be_there(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(3))
    with pytest.raises(ConfigError, match=r"score\.column: no column 'answer' in a\.jsonl"):
        make_plan(section(str(tmp_path)), task=ReadsMore(GenerationSection()))

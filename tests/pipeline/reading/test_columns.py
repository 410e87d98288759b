from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.reading.columns import columns_of_no_record, columns_to_read, required_columns
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


def test_columns_that_a_template_can_do_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever in the input they first appear, and whichever files have them."""
    source = "{{ text }}{{ late | default('-') }}{% if row['never seen'] is defined %}!{% endif %}"
    asked = section(str(tmp_path), prompt={"template": source})
    write(tmp_path / "a.jsonl", lines(150) + lines(1, late="x"))
    write_parquet(tmp_path / "b.parquet", 2, 2)
    write_parquet(tmp_path / "c.parquet", 2, 2, late=["y", "z"])
    assert make_plan(asked).rows == 155
    assert "no record looked at has never seen, which the template does without" in caplog.text
    assert columns_to_read(asked) == ["text", "late", "never seen", "row"]
    assert list(required_columns(asked)) == ["text"]
    assert columns_of_no_record(asked, ["text", "late"]) == ["never seen"]
    both = section(str(tmp_path), prompt={"template": source + "{{ late }}"})
    with pytest.raises(ConfigError, match=r"input\.prompt\.template: no column 'late' in b\.parquet"):
        make_plan(both)


def test_the_whole_row_reads_all_columns() -> None:
    assert columns_to_read(section("x", prompt={"template": "{{ row | tojson }}"})) is None
    assert columns_to_read(section("x", keep="*")) is None


def test_columns_through_row_must_be_there_unless_row_is_a_column(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(2, row={"name": "n"}))
    asked = section(str(tmp_path), prompt={"template": "{{ row.name }}"})
    assert make_plan(asked).rows == 2
    write(tmp_path / "a.jsonl", lines(2))
    with pytest.raises(ConfigError, match=r"input\.prompt\.template: no column 'name' in a\.jsonl"):
        make_plan(asked)


def test_slips_of_a_template_are_pointed_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "a.jsonl", lines(2, id=7))
    with pytest.raises(ConfigError, match=r"names no column.*write {{ text }}, not {text} where"):
        make_plan(section(str(tmp_path), prompt={"template": "Say {text}"}))
    assert make_plan(section(str(tmp_path), prompt={"template": "{{ text }} {id} {other}"})).rows == 2
    [record] = caplog.records
    assert record.getMessage() == (
        "input.prompt.template: {id} is text there, and id a column, whose value is printed by {{ id }}"
    )


def test_columns_of_folders_are_columns(tmp_path: Path) -> None:
    write(tmp_path / "lang=de/a.jsonl", lines(2))
    write_parquet(tmp_path / "lang=fr/b.parquet", 2, 2)
    template = {"template": "{{ lang }}: {{ text }}"}
    asked = section(str(tmp_path), prompt=template, id_column="lang", group_by="lang", keep=["lang"])
    assert make_plan(asked).rows == 4
    with pytest.raises(ConfigError, match=r"no column 'year' in lang=fr/b\.parquet; .*'text', 'lang'"):
        make_plan(section(str(tmp_path), group_by="year"))


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

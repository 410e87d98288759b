"""Tables in text: what they are turned into, by a line that runs."""

import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import ConfigError
from pipeline.reading.other_formats import how_to_convert
from pipeline.shards.make_plan import make_plan
from tests.pipeline.reading.inputs import lines, section, write


def test_the_line_that_is_given_makes_a_file_that_is_read(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.tsv", b"text\tn\nx y\t1\n")
    with pytest.raises(ConfigError, match=r"input\.path: a\.tsv: TSV is not read yet") as raised:
        make_plan(section(f"{tmp_path}/in/a.tsv"))
    python, *command = shlex.split(str(raised.value).partition("with: ")[2])
    assert python == "python"
    subprocess.run([sys.executable, *command], cwd=tmp_path / "in", check=True)
    assert pd.read_parquet(tmp_path / "in/a.parquet").to_dict("list") == {"text": ["x y"], "n": [1]}
    assert make_plan(section(f"{tmp_path}/in/a.parquet")).rows == 1


def test_a_folder_of_tables_says_so(tmp_path: Path) -> None:
    write(tmp_path / "a.csv.gz", b"")
    with pytest.raises(ConfigError, match=r"in this folder; CSV is not read yet: .*read_csv\('a\.csv\.gz'\)"):
        make_plan(section(str(tmp_path)))
    write(tmp_path / "b.jsonl", lines(1))
    assert make_plan(section(str(tmp_path))).rows == 1


def test_other_names_get_no_hint() -> None:
    assert [how_to_convert(name) for name in ("a.jsonl", "a.parquet", "csv", "a.txt")] == [None] * 4
    assert "sep='\\t'" in str(how_to_convert("x/B.TSV"))

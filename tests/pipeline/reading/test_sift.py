"""Which files of a folder or glob are rows, and that all others are told of."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.reading.listing import list_path
from pipeline.reading.not_taken import Reason
from pipeline.reading.sift import sift
from tests.pipeline.conftest import write


def lay_out(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return str(folder)


def sifted(given: str, format: str = "auto") -> tuple[list[str], dict[str, Reason]]:
    listing = list_path(given)
    taken, others = sift(listing, given, format)
    inner = len(listing.base) + 1
    return sorted(file.url[inner:] for file in taken), {one.path[inner:]: one.reason for one in others}


def test_of_a_folder_known_endings_are_taken(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "a.jsonl", "B.JSONL.GZ", "c.Parquet", "d.jsonl.bz2", "e.json.xz", "README.md")
    assert sifted(folder) == (
        ["B.JSONL.GZ", "a.jsonl", "c.Parquet", "d.jsonl.bz2", "e.json.xz"],
        {"README.md": Reason.ENDING},
    )
    taken, others = sifted(folder, "parquet")
    assert taken == ["c.Parquet"]
    assert others == {
        "README.md": Reason.ENDING,
        **dict.fromkeys(["a.jsonl", "B.JSONL.GZ", "d.jsonl.bz2", "e.json.xz"], Reason.FORMAT),
    }


def test_of_a_glob_all_that_it_names_is_taken(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "a.txt", "b.txt")
    assert sifted(f"{folder}/*.txt", "jsonl") == (["a.txt", "b.txt"], {})


def test_what_describes_a_data_set_is_no_rows_unless_it_is_named_itself(tmp_path: Path) -> None:
    folder = lay_out(
        tmp_path,
        "a.json",
        "state.json",
        "x/dataset_info.json",
        "x/state.json",
        "x/b.json",
        "dataset_infos.json",
    )
    others = ["state.json", "x/dataset_info.json", "x/state.json", "dataset_infos.json"]
    assert sifted(folder) == (["a.json", "x/b.json"], dict.fromkeys(others, Reason.DESCRIBES))
    assert sifted(f"{folder}/x/*.json")[0] == ["b.json"]
    assert sifted(f"{folder}/x/dataset_info.json") == (["dataset_info.json"], {})
    alone = lay_out(tmp_path / "usa", "state.json")
    assert sifted(alone) == (["state.json"], {}), "a table of states"


OUT = ("_job/spec.json", "generations/part-000000-feed.parquet", "router/experts.parquet", "report.json")


def test_the_output_of_another_job_is_no_input_as_a_whole_but_its_generations_are(place: str) -> None:
    folder = f"{place}/generations"
    for name in ("a.parquet", *(f"night/ly/{name}" for name in OUT)):
        write(f"{folder}/{name}", b"PAR1")
    part = "part-000000-feed.parquet"
    assert sifted(folder) == (["a.parquet"], {"night/ly/": Reason.OUTPUT})
    assert sifted(f"{folder}/**/*.parquet") == (["a.parquet"], {"night/ly/": Reason.OUTPUT})
    assert sifted(f"{folder}/night/ly/generations") == ([part], {})
    assert sifted(f"{folder}/night/ly/generations/*") == ([part], {})
    assert sifted(f"{folder}/night/*/generations/*.parquet") == ([f"ly/generations/{part}"], {})
    assert sifted(f"{folder}/night/ly/generations/{part}") == ([part], {})
    for given in (f"{folder}/night/ly", f"{folder}/night/ly/*/*.parquet"):
        with pytest.raises(ConfigError, match=r"no input as a whole; its rows are in .*night/ly/generations"):
            sifted(given)


def test_nothing_to_read_says_what_lies_there_instead(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "a.txt", ".b.jsonl", "deep/c.md")
    with pytest.raises(ConfigError) as raised:
        sifted(folder)
    assert str(raised.value) == (
        f"input.path: {folder}: no *.jsonl, *.json, *.ndjson (also .gz, .zst, .bz2, .xz) or *.parquet in "
        "this folder; not taken: .b.jsonl: hidden, by a name that begins with . or _; a.txt, deep/c.md: of "
        "another ending than those that are read"
    )
    with pytest.raises(ConfigError, match="no file has such a name; not taken: deep: a folder, which"):
        sifted(f"{folder}/d*")

"""Whatever is damaged in an output folder is found and named, and nothing else is."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.durable.commit import part_path, publish
from pipeline.durable.first_answers import FIRST_ANSWERS
from pipeline.durable.operations import execute
from pipeline.durable.same_machine import MACHINE
from pipeline.errors import ConfigError
from pipeline.output.part_file import read_footer
from pipeline.storage.open_store import open_store
from pipeline.storage.sealed_parquet import sealed
from tests import small_output
from tests.pipeline.output.verified import damaged, name, part, verified


def test_a_whole_output_has_nothing_damaged(finished: Path, unfinished: Path) -> None:
    found = verified(finished)
    assert (found.damage, found.parts, found.rows, found.to_do, found.finished) == ([], 3, 10, 0, True)
    assert found.size == sum(
        path.stat().st_size for part in ("generations", "_job/router") for path in (finished / part).iterdir()
    )
    found = verified(unfinished)
    assert (found.damage, found.parts, found.rows, found.to_do, found.finished) == ([], 2, 6, 1, False)


def test_an_output_on_s3_is_checked_as_one_on_disks(s3_url: str, tmp_path: Path) -> None:
    store = small_output.finished(tmp_path, s3_url)
    found = verified(store)
    assert (found.damage, found.parts, found.finished) == ([], 3, True)
    [first, second, _] = store.list("generations")
    store.replace(first, store.read(first)[:-1])
    store.replace(second, b"")
    assert [(one.path, one.what) for one in verified(store).damage] == [
        (first, "its bytes are not those that were written"),
        (second, "it is empty"),
    ]


CHECKED = ["generations/*", "router/*", "_job/router/*", "_job/plan-*", "_job/spec.json", "_SUCCESS"]


@given(st.data())
@settings(max_examples=12)
@pytest.mark.parametrize("pattern", CHECKED)
def test_a_flipped_bit_in_any_file_names_that_file(finished: Path, pattern: str, data: st.DataObject) -> None:
    flipped_bit_is_found(finished, pattern, data)


@given(st.data())
@settings(max_examples=12)
@pytest.mark.parametrize("pattern", ["generations/*", "_job/router/*", "_job/plan-*", "_job/spec.json"])
def test_it_is_found_too_where_no_hash_is_kept_elsewhere(
    unfinished: Path, pattern: str, data: st.DataObject
) -> None:
    flipped_bit_is_found(unfinished, pattern, data)


def flipped_bit_is_found(folder: Path, pattern: str, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(folder.glob(pattern))))
    whole = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    try:
        path.write_bytes(flipped)
        assert name(folder, path) in damaged(folder)
    finally:
        path.write_bytes(whole)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [empty, cut, gone])
@pytest.mark.parametrize("pattern", [*CHECKED, "report.json"])
def test_an_empty_a_cut_and_a_missing_file_is_named(
    out: Path, pattern: str, harm: Callable[[Path], None]
) -> None:
    path = sorted(out.glob(pattern))[0]
    harm(path)
    if (pattern, harm) == ("_SUCCESS", gone):
        assert not verified(out).finished
        assert damaged(out) == {}
    else:
        assert [*damaged(out)] == [name(out, path)]


def test_a_whole_part_that_success_does_not_name_blames_success(out: Path) -> None:
    """It was computed anew, and its _SUCCESS was left there."""
    first = part(out, 0)
    with first.open("rb") as file:
        summary, _ = read_footer(name(out, first), file)
    assert summary.rows == 4
    anew = first.read_bytes().replace(b'"prompt_tokens": ', b'"prompt_tokens":\t')
    first.write_bytes(sealed(bytearray(anew)))
    assert damaged(out) == {"_SUCCESS": f"it names another hash than that of {name(out, first)}"}
    success = out / "_SUCCESS"
    success.write_bytes(success_with(success, name(out, first), first.read_bytes()))
    assert damaged(out) == {"_SUCCESS": "it is not what the parts that are there add up to"}


def success_with(success: Path, part: str, data: bytes) -> bytes:
    """It names the hash of this part, and a wrong sum."""
    told = json.loads(success.read_bytes())
    [entry] = [entry for entry in told["parts"] if entry["path"] == part]
    entry["sha256"] = hashlib.sha256(data).hexdigest()
    told["rows_by_status"] = {"ok": 9}
    return json.dumps(told).encode()


def test_every_damaged_file_is_named_though_one_is(out: Path) -> None:
    """What depends on nothing that is damaged is checked all the same."""
    success, machine = out / "_SUCCESS", out / MACHINE
    whole = success.read_bytes()
    first, second, third = (part(out, number) for number in range(3))
    digest = json.loads(whole)["parts"][2]["sha256"]
    success.write_bytes(whole.replace(digest.encode(), b"0" * 64))
    empty(second)
    gone(out / "router/pairs.parquet")
    gone(out / "report.json")
    (out / "_job/router").joinpath("unnamed.parquet").touch()
    machine.mkdir()
    assert damaged(out) == {
        name(out, second): "it is empty",
        "_SUCCESS": f"it names another hash than that of {name(out, third)}",
        MACHINE: "it is a folder",
        "router/pairs.parquet": "it is missing",
        "report.json": "it is missing",
    }
    assert first.exists()


def test_a_damaged_file_beside_the_parts_keeps_no_sum_from_being_checked(out: Path) -> None:
    (out / MACHINE).write_bytes(b"{")
    experts = out / "router/experts.parquet"
    experts.write_bytes((out / "router/layers.parquet").read_bytes())
    assert damaged(out) == {
        MACHINE: "it is not what was written there",
        "router/experts.parquet": "it is not the sum of the parts' router tables",
    }


def test_with_a_damaged_plan_parts_are_checked_by_themselves(out: Path) -> None:
    empty(out / "_job/plan-000.parquet")
    cut(part(out, 1))
    assert [*damaged(out)] == ["_job/plan-000.parquet", name(out, part(out, 1))]


def test_damaged_markers_of_shards_to_do_are_named(unfinished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(unfinished, tmp_path / "out"))
    [marker] = out.glob("_job/attempts/*")
    committed = part(out, 0).name.split("-")[2].removesuffix(".parquet")
    (out / f"_job/attempts/{committed}-0000.json").write_bytes(b"")  # nobody will read it
    assert damaged(out) == {}
    for data in (b"", marker.read_bytes()[:-2], b"[]", marker.read_bytes().replace(b'"end":4', b'"end":5')):
        marker.write_bytes(data)
        assert [*damaged(out)] == [name(out, marker)]
    (out / MACHINE).write_bytes(b"{")
    (out / FIRST_ANSWERS).write_bytes(b'{"answers": []}')
    assert [*damaged(out)] == [name(out, marker), MACHINE, FIRST_ANSWERS]


def test_a_marker_that_is_a_folder_is_the_one_that_is_named(unfinished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(unfinished, tmp_path / "out"))
    [marker] = out.glob("_job/attempts/*")
    later = marker.with_name(marker.name.replace("-0000", "-0001"))
    later.mkdir()
    assert damaged(out) == {name(out, later): "it is a folder"}


def test_where_no_job_wrote_there_is_nothing_to_check(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="no job has written there"):
            verified(place)


def test_what_verify_says_to_remove_is_computed_anew(out: Path, finished: Path) -> None:
    """A part and a router table of a finished job, as the sentences say."""
    place = finished.parent
    data = small_output.job_data(place, str(out))
    table = sorted(out.glob("_job/router/*"))[0]
    cut(table)
    [found] = verified(out).damage
    assert found.path == name(out, table)
    shard_id = table.name.partition("-")[0]
    [of_shard] = out.glob(f"generations/*-{shard_id}.parquet")
    empty(part(out, 2))
    for path in {table, of_shard, part(out, 2), out / "_SUCCESS"}:
        path.unlink()
    job, store, plan = small_output.begin(data)
    to_do = [shard for shard in plan.shards if not store.exists(part_path(shard))]
    assert 1 <= len(to_do) <= 2
    small_output.commit(job, store, to_do)
    small_output.finish(job, store, plan)
    assert damaged(out) == {}


def test_an_attempt_does_not_mend_a_table_that_is_there_already(tmp_path: Path) -> None:
    """So the sentence says to remove the table too."""
    store = open_store(tmp_path)
    _, _, plan = small_output.begin(small_output.job_data(tmp_path / "job"))
    execute(publish(plan.shards[0], b"counts", lambda table: b"part"), store)
    [table] = store.list("_job/router")
    store.replace(table, b"cut")
    Path(store.root, part_path(plan.shards[0])).unlink()
    execute(publish(plan.shards[0], b"counts", lambda table: b"part"), store)
    assert store.read(table) == b"cut"

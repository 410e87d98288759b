"""Whatever is damaged in an output folder is found and named, and nothing else is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.durable.attempts import Attempt, Piece, count_attempt
from pipeline.durable.commit import part_path, publish
from pipeline.durable.operations import execute
from pipeline.durable.same_machine import MACHINE
from pipeline.errors import ConfigError
from pipeline.output.part_file import read_footer
from pipeline.output.verify import Verified, verify
from pipeline.reporting.check_progress import CheckProgress
from pipeline.storage.open_store import open_store
from pipeline.storage.sealed_parquet import sealed
from pipeline.storage.store import Store
from tests import small_output


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a finished job; tests must leave it as it is."""
    place = tmp_path_factory.mktemp("finished")
    small_output.finished(place)
    return place / "out"


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a job of which two of three shards are committed, and the third was tried."""
    place = tmp_path_factory.mktemp("unfinished")
    job, store, plan = small_output.begin(small_output.job_data(place))
    small_output.commit(job, store, plan.shards[:2])
    execute(count_attempt(plan.shards[2], Attempt(Piece(0, 4), "here:1", alone=False), 0), store)
    return place / "out"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A finished job's output, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


def verified(place: Path | Store) -> Verified:
    with CheckProgress() as progress:
        return verify(place if isinstance(place, Store) else open_store(place), progress)


def damaged(place: Path) -> dict[str, str]:
    """What is wrong with each damaged file."""
    return {one.path: one.what for one in verified(place).damage}


def part(out: Path, number: int) -> Path:
    return sorted(out.glob("generations/*"))[number]


def name(out: Path, path: Path) -> str:
    return str(path.relative_to(out))


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


def test_parts_of_another_shard_or_another_job_are_named(out: Path, tmp_path: Path) -> None:
    first, second, third = (part(out, number) for number in range(3))
    first.write_bytes(second.read_bytes())
    third.write_bytes(b"PAR1" + bytes(200) + b"PAR1")
    stranger = out / "generations/part-000001-feed.parquet"
    stranger.write_bytes(second.read_bytes())
    assert damaged(out) == {
        name(out, first): f"it was written as {name(out, second)}, maybe by another job",
        name(out, third): "it was cut, or it is no file of mixtray",
        name(out, stranger): "it is of no shard of this job",
    }


def test_rows_that_are_not_those_of_the_plan_are_named(out: Path) -> None:
    """As a bug could write them: the file is whole."""
    first, second = part(out, 0), part(out, 1)
    renamed = second.read_bytes().replace(name(out, second).encode(), name(out, first).encode())
    first.write_bytes(sealed(bytearray(renamed)))
    assert damaged(out)[name(out, first)] == "it has 2 rows where 4 are planned"
    job, store, plan = small_output.begin(small_output.job_data(out.parent / "other"))
    small_output.commit(job, store, plan.shards)
    ours, theirs = part(out, 0), part(out.parent / "other/out", 2)
    renamed = theirs.read_bytes().replace(
        name(out.parent / "other/out", theirs).encode(), name(out, ours).encode()
    )
    ours.write_bytes(sealed(bytearray(renamed)))
    assert damaged(out)[name(out, ours)] == "its rows are not 0 to 3 of a.jsonl"


def test_a_whole_part_that_success_does_not_name_blames_success(out: Path) -> None:
    """It was computed anew, and its _SUCCESS was left there."""
    first = part(out, 0)
    with first.open("rb") as file:
        summary, _ = read_footer(name(out, first), file)
    assert summary.rows == 4
    anew = first.read_bytes().replace(b'"prompt_tokens": ', b'"prompt_tokens":\t')
    first.write_bytes(sealed(bytearray(anew)))
    assert damaged(out) == {"_SUCCESS": "it is not what the parts that are there add up to"}


def test_published_files_that_the_parts_do_not_add_up_to_are_named(out: Path) -> None:
    experts, layers, report = (
        out / "router/experts.parquet",
        out / "router/layers.parquet",
        out / "report.json",
    )
    experts.write_bytes(layers.read_bytes())
    report.write_text(report.read_text().replace('"prompt_tokens": ', '"prompt_tokens": 1'))
    assert damaged(out) == {
        "router/experts.parquet": "it is not the sum of the parts' router tables",
        "report.json": "its prompt_tokens is not the sum of the parts",
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
    assert [*damaged(out)] == [name(out, marker), MACHINE]


def test_a_file_that_the_disk_does_not_give_is_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(out)
    [path, *_] = store.list("generations")
    plain = store.read

    def read(asked: str) -> bytes:
        if asked == path:
            raise OSError(5, "Input/output error", asked)
        return plain(asked)

    monkeypatch.setattr(store, "read", read)
    assert [(one.path, one.what) for one in verified(store).damage] == [
        (path, "it cannot be read: Input/output error")
    ]


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

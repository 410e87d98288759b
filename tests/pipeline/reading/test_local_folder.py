"""Real folders and real links: what is listed, under which name, and what is passed over."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.reading.local_folder import LocalFile, files_below, link_to_nothing
from pipeline.reading.not_taken import PassedOver, Reason


def listed(folder: Path) -> tuple[dict[str, str], dict[str, Reason]]:
    """Names of files with their real paths, and names of what was passed over, relative to the folder."""
    files, others = {}, {}
    for one in files_below(str(folder), lambda _: (0,), lambda name: name.startswith(".")):
        name = one.path.removeprefix(f"{folder}/")
        if isinstance(one, LocalFile):
            assert one.real == os.path.realpath(one.path)
            files[name] = os.path.relpath(one.real, folder)
        else:
            others[name] = one.reason
    return files, others


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    (tmp_path / "in/snapshot").mkdir(parents=True)
    (tmp_path / "blobs/more").mkdir(parents=True)
    for name in ("blobs/feed", "blobs/more/b.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "in/snapshot/a.jsonl").symlink_to("../../blobs/feed")
    (tmp_path / "in/more").symlink_to(tmp_path / "blobs/more")
    assert listed(tmp_path / "in") == (
        {"snapshot/a.jsonl": "../blobs/feed", "more/b.jsonl": "../blobs/more/b.jsonl"},
        {},
    )


def test_a_link_that_leads_back_is_named_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "in/a").touch()
    (tmp_path / "in/self").symlink_to(".")
    (tmp_path / "in/deep/up").symlink_to(tmp_path)  # above the folder that is listed
    (tmp_path / "in/other").symlink_to(tmp_path / "other")
    (tmp_path / "other/back").symlink_to(tmp_path / "in/deep/..")
    assert listed(tmp_path / "in") == (
        {"a": "a"},
        {"self": Reason.LOOP, "deep/up": Reason.LOOP, "other/back": Reason.LOOP},
    )


def test_a_folder_is_listed_once_by_its_own_name_rather_than_a_link_s(tmp_path: Path) -> None:
    (tmp_path / "in/z").mkdir(parents=True)
    (tmp_path / "in/z/a").touch()
    (tmp_path / "in/b").symlink_to("z")
    found = [*files_below(f"{tmp_path}/in", lambda _: (0,), lambda _: False)]
    assert found == [
        LocalFile(f"{tmp_path}/in/z/a", f"{tmp_path}/in/z/a", linked=False),
        PassedOver(Reason.TWICE, f"{tmp_path}/in/b", instead=f"{tmp_path}/in/z"),
    ]


def test_links_between_many_folders_cost_no_more_than_the_folders(tmp_path: Path) -> None:
    """Each of twelve folders links to all others: there are more than 12! ways through them."""
    folders = [tmp_path / f"in/{number:02}" for number in range(12)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "a").touch()
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    files, others = listed(tmp_path / "in")
    assert [*files] == [f"{folder.name}/a" for folder in reversed(folders)]
    assert len(others) == 144


def test_a_folder_is_listed_again_where_more_is_asked_of_it(tmp_path: Path) -> None:
    """Of `b` something is asked by the link's name alone; what is asked by both names is listed once."""
    (tmp_path / "in/b").mkdir(parents=True)
    (tmp_path / "in/b/a").touch()
    for name in ("link", "other"):
        (tmp_path / "in" / name).symlink_to("b")
    asked = {"in": (0,), "b": (1, 2), "link": (2, 3), "other": (1, 3)}
    found = [*files_below(f"{tmp_path}/in", lambda path: asked[Path(path).name], lambda _: False)]
    real = f"{tmp_path}/in/b/a"
    assert found == [
        LocalFile(real, real, linked=False),
        LocalFile(f"{tmp_path}/in/link/a", real, linked=True),
        PassedOver(Reason.TWICE, f"{tmp_path}/in/other", instead=f"{tmp_path}/in/b"),
    ]


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "round").symlink_to("round")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden/a").touch()
    assert listed(tmp_path) == (
        {},
        {
            "pipe": Reason.NO_FILE,
            "gone": Reason.NOWHERE,
            "round": Reason.NOWHERE,
            ".hidden/": Reason.HIDDEN,
        },
    )


def test_a_folder_that_is_gone_has_no_files(tmp_path: Path) -> None:
    assert listed(tmp_path / "gone") == ({}, {})


def test_the_link_on_the_way_that_leads_to_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "chain").symlink_to("gone")
    for name in ("gone", "gone/deep/a.jsonl", "chain"):
        assert link_to_nothing(f"{tmp_path}/{name}") == f"{tmp_path}/{name.partition('/')[0]}"
    assert link_to_nothing(f"{tmp_path}/absent/a.jsonl") is None
    assert link_to_nothing("") is None


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_link_whose_target_can_t_be_looked_at_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As where the server that holds it fails; a real file system can't be made to, so `os.stat` does."""
    (tmp_path / "link").symlink_to(__file__)
    (tmp_path / "a").touch()
    stat = os.stat

    def failing(path: str, **how: Any) -> os.stat_result:
        if path == f"{tmp_path}/link":
            raise OSError(number, os.strerror(number), path)
        return stat(path, **how)

    monkeypatch.setattr(os, "stat", failing)
    with pytest.raises(OSError, match="link") as raised:
        listed(tmp_path)
    assert raised.value.errno == number


def test_a_link_to_a_name_that_no_file_can_have_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("x" * 300)
    with pytest.raises(OSError, match=r"too long.*link"):
        listed(tmp_path)


def test_a_folder_that_may_not_be_listed_is_an_error() -> None:
    """In a child of another user where root runs the tests, who may list all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "closed").mkdir(mode=0)
        child = os.fork()
        if child == 0:
            _list_as_nobody(folder)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _list_as_nobody(folder: Path) -> None:
    """Ends the process, with 0 if the error names the folder."""
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        listed(folder)
    except PermissionError as error:
        os._exit(0 if error.filename == str(folder / "closed") else 1)
    finally:
        os._exit(2)

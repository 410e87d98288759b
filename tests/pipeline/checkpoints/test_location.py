from pathlib import Path

import pytest

from pipeline.checkpoints.location import locate
from pipeline.errors import ConfigError


def test_a_local_folder_is_itself(checkpoint: Path) -> None:
    assert locate(str(checkpoint)).whole() == checkpoint
    assert locate(f"file://{checkpoint}").whole() == checkpoint
    assert locate(f"file://{checkpoint}").pinned == str(checkpoint), "a replica's folder is another"


def test_what_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere: no such folder$"):
        locate(str(tmp_path / "nowhere")).whole()
    with pytest.raises(ConfigError, match=r"^model\.path: memory://nowhere: no such folder$"):
        locate("memory://nowhere").whole()


def test_the_name_of_a_repository_suggests_its_url() -> None:
    name = "mistralai/Mixtral-8x7B-Instruct-v0.1"
    with pytest.raises(ConfigError, match=rf"^model\.path: {name}: no such folder; .*: hf://{name}$"):
        locate(name).whole()


def test_a_folder_that_is_no_checkpoint_is_refused_by_the_path_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(ConfigError, match=r"^model: empty: no config\.json in it"):
        locate("empty").whole()

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.storage.local_store import LocalStore
from pipeline.storage.open_store import open_store


def test_kinds_without_an_atomic_create_are_refused_by_name_without_secrets() -> None:
    with pytest.raises(ConfigError, match="ftp://host/out") as refusal:
        open_store("ftp://user:canary@host/out")
    assert "canary" not in str(refusal.value)


def test_urls_are_for_people(tmp_path: Path) -> None:
    assert open_store(tmp_path).url("generations") == f"{tmp_path}/generations"
    assert open_store(f"file://{tmp_path}").url() == str(tmp_path)
    assert open_store("memory://a/b/").url("c") == "memory://a/b/c"
    assert isinstance(open_store("~/x"), LocalStore)
    assert "~" not in open_store("~/x").root

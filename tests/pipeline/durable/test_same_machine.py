import json
from pathlib import Path
from typing import Any

import pytest

from model.engine import Engine
from pipeline.durable.operations import execute
from pipeline.durable.same_machine import MACHINE, require_same_machine
from pipeline.errors import DamagedFile, JobError
from pipeline.storage.open_store import open_store


def test_another_kind_of_machine_is_refused(tmp_path: Path, checkpoint: Any) -> None:
    ours, store = Engine.load(checkpoint.folder, threads=1).machine, open_store(tmp_path)
    for _ in range(2):
        execute(require_same_machine(ours), store)
    machine = json.loads(store.read(MACHINE))
    assert machine["dtype"] == "float32"
    assert machine["torch"]
    (tmp_path / MACHINE).write_text(json.dumps(machine | {"device": "an older CPU"}))
    with pytest.raises(JobError, match="device: was an older CPU, is"):
        execute(require_same_machine(ours), store)


def test_a_machine_of_which_more_or_less_is_known_is_another_kind(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    execute(require_same_machine({"device": "cpu", "torch": "2.1"}), store)
    with pytest.raises(JobError, match=r"cores: was None, is 8; torch: was 2\.1, is None"):
        execute(require_same_machine({"device": "cpu", "cores": "8"}), store)


@pytest.mark.parametrize("damaged", [b"", b'{"device": "c', b"[1]", b"null"])
def test_a_damaged_description_is_named_with_what_to_do(tmp_path: Path, damaged: bytes) -> None:
    store = open_store(tmp_path)
    store.create(MACHINE, damaged)
    with pytest.raises(
        DamagedFile, match=r"_job/machine\.json is damaged \(.*\): remove it and run the same"
    ):
        execute(require_same_machine({"device": "cpu"}), store)

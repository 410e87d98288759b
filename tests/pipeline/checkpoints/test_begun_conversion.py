"""A conversion that was stopped goes on behind the files that hold what they should, and no others."""

import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors.torch import load_file

from pipeline.checkpoints.begun_conversion import begun
from pipeline.checkpoints.convert import convert
from pipeline.errors import ConfigError, JobError
from tests import conftest
from tests.conftest import HFCheckpoint

hf = conftest.checkpoint  # in this folder the fixture of that name is another
# The forward pass reads some rows of the first, and of the experts those that its tokens take.
NAMES = ["model.embed_tokens.weight", "model.layers.2.block_sparse_moe.experts.3.w2.weight"]


@pytest.fixture
def source(hf: HFCheckpoint, tmp_path: Path) -> Path:
    return shutil.copytree(hf.folder, tmp_path / "from")


def flip_a_bit(file: Path, name: str) -> None:
    """In the middle of a tensor."""
    content = bytearray(file.read_bytes())
    [length] = struct.unpack_from("<Q", content)
    begin, end = json.loads(content[8 : 8 + length])[name]["data_offsets"]
    content[8 + length + (begin + end) // 2] ^= 1
    file.write_bytes(content)


def at(moment: str, action: Callable[[], None]) -> Callable[[str, int, int], None]:
    def progress(what: str, done: int, total: int) -> None:
        if what == moment:
            action()

    return progress


def stop() -> None:
    raise KeyboardInterrupt


def stopped(source: Path, target: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, at("a forward pass", stop))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_damaged_is_written_again(name: str, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "to"
    stopped(source, target)
    flip_a_bit(target / "model.safetensors", name)
    told: list[str] = []
    convert(source, target, lambda what, done, total: told.append(what))
    assert told[0] == "model.safetensors"
    written, originals = load_file(target / "model.safetensors"), load_file(source / "model.safetensors")
    assert all(written[name].equal(tensor) for name, tensor in originals.items())


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_changes_any_byte_is_noticed(name: str, source: Path, tmp_path: Path) -> None:
    file = tmp_path / "to/model.safetensors"
    spoil = at("reading back model.safetensors", lambda: flip_a_bit(file, name))
    with pytest.raises(JobError, match=r"TO: model\.safetensors is not what was written; a disk or memory"):
        convert(source, tmp_path / "to", spoil)
    assert not (tmp_path / "to/config.json").exists()


@pytest.mark.parametrize("name", ["tokenizer_config.json", "tokenizer.model", "generation_config.json"])
def test_other_settings_are_another_checkpoint(name: str, source: Path, tmp_path: Path) -> None:
    stopped(source, tmp_path / "to")
    with open(source / name, "ab") as file:
        file.write(b" ")
    with pytest.raises(ConfigError, match="holds the beginning of another conversion, or FROM has changed"):
        convert(source, tmp_path / "to", lambda *_: None)


def test_an_index_of_other_files_is_another_checkpoint(hf: HFCheckpoint, tmp_path: Path) -> None:
    source = tmp_path / "from"
    hf.model.save_pretrained(source, max_shard_size="1MB")
    stopped(source, tmp_path / "to")
    index = source / "model.safetensors.index.json"
    index.write_text(json.dumps(json.loads(index.read_text())))
    with pytest.raises(ConfigError, match="holds the beginning of another conversion, or FROM has changed"):
        convert(source, tmp_path / "to", lambda *_: None)


def test_the_same_settings_written_anew_are_the_same_checkpoint(source: Path, tmp_path: Path) -> None:
    """As where they are fetched again."""
    stopped(source, tmp_path / "to")
    (source / "tokenizer_config.json").write_bytes((source / "tokenizer_config.json").read_bytes())
    told: list[str] = []
    convert(source, tmp_path / "to", lambda what, done, total: told.append(what))
    assert told == ["model.safetensors was there", "a forward pass"]


def test_a_log_that_was_cut_off_says_what_its_whole_lines_say(tmp_path: Path) -> None:
    content = b"numbers"
    (tmp_path / "whole").mkdir()
    with suppress(KeyboardInterrupt), begun(tmp_path / "whole", "identity") as conversion:
        (tmp_path / "whole/a").write_bytes(content)
        conversion.is_written("a", "a hash of something else")
        assert not conversion.is_whole("a", len(content))
        stop()
    log = (tmp_path / "whole/converting.json").read_bytes()
    for length in range(len(log) + 1):
        target = tmp_path / f"cut {length}"
        target.mkdir()
        (target / "converting.json").write_bytes(log[:length])
        (target / "b").write_bytes(content)
        for known in (False, True):
            with suppress(KeyboardInterrupt), begun(target, "identity") as conversion:
                assert not conversion.is_whole("a", len(content))
                assert conversion.is_whole("b", len(content)) == known
                assert not conversion.is_whole("b", len(content) + 1)
                conversion.is_written("b", hashlib.sha256(content).hexdigest())
                stop()

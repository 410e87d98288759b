"""Checkpoints written anew in HF's format, read back by transformers."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from pipeline.checkpoints.convert import convert
from pipeline.errors import ConfigError, JobError
from tests import conftest
from tests.conftest import HFCheckpoint
from tests.model.checkpoint.mistral_format import mistral_tensors, write_mistral

PROMPT = [1, 733, 16289, 5, 31999]


hf = conftest.checkpoint  # in this folder the fixture of that name is another


@pytest.fixture
def source(hf: HFCheckpoint, tmp_path: Path) -> Path:
    return shutil.copytree(hf.folder, tmp_path / "from")


def silent(what: str, done: int, total: int) -> None:
    pass


def logits(folder: Path) -> torch.Tensor:
    model, loading = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    with torch.inference_mode():
        return model(torch.tensor([PROMPT])).logits[0]


def same_as(hf: HFCheckpoint, target: Path) -> None:
    """Transformers reads what was written, and its weights are those of the original to the bit."""
    with torch.inference_mode():
        assert torch.equal(logits(target), hf.model(torch.tensor([PROMPT])).logits[0])
    assert not list(target.glob("*.part"))
    assert not (target / "converting.json").exists()


def test_from_mistral_s_own_format(source: Path, hf: HFCheckpoint, tmp_path: Path) -> None:
    mistral = write_mistral(source, tmp_path / "mistral")
    shutil.copy(source / "tokenizer.model", mistral / "tokenizer.model.v1")
    convert(mistral, tmp_path / "to", silent)
    same_as(hf, tmp_path / "to")
    assert (tmp_path / "to/tokenizer.model.v1").exists()
    assert not (tmp_path / "to/params.json").exists()
    assert json.loads((tmp_path / "to/config.json").read_text())["torch_dtype"] == "float32"


def test_from_fused_experts_into_several_files(source: Path, hf: HFCheckpoint, tmp_path: Path) -> None:
    hf.model.save_pretrained(tmp_path / "fused", save_original_format=False)
    told: list[tuple[str, int, int]] = []
    convert(tmp_path / "fused", tmp_path / "to", lambda *one: told.append(one), file_bytes=3 << 20)
    same_as(hf, tmp_path / "to")
    files = sorted(file.name for file in (tmp_path / "to").glob("*.safetensors"))
    assert len(files) == 3
    back = [f"reading back {name}" for name in files]
    assert [what for what, _, _ in told] == [*files, *back, "a forward pass"]
    for part in (told[:3], told[3:6]):
        assert [done for _, done, _ in part] == sorted(done for _, done, _ in part)


@pytest.mark.parametrize("quantization", ["int4", "int8"])
def test_quantized_it_is_read_back(quantization: str, source: Path, tmp_path: Path) -> None:
    """By us, as numbers again; nf4 needs a wider model, see `test_convert_quantized`."""
    target, back = tmp_path / "to", tmp_path / "back"
    convert(source, target, silent, quantization=quantization)
    convert(target, back, silent)
    assert "quantization_config" not in json.loads((back / "config.json").read_text())
    numbers, originals = load_file(back / "model.safetensors"), load_file(source / "model.safetensors")
    assert numbers.keys() == originals.keys()
    changed = {name for name, value in originals.items() if not torch.equal(value, numbers[name])}
    assert changed == {name for name in originals if "proj" in name or ".experts." in name}


@pytest.mark.parametrize("names", ["pytorch_model", "consolidated.pth", "consolidated.pt"])
def test_from_pickles_where_they_are_asked_for(
    names: str, source: Path, hf: HFCheckpoint, tmp_path: Path
) -> None:
    tensors = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    if names == "pytorch_model":
        for i in range(2):
            part = {name: tensors[name] for name in sorted(tensors)[i::2]}
            torch.save(part, source / f"pytorch_model-0000{i + 1}-of-00002.bin")
    else:
        kind = names.removeprefix("consolidated.")
        torch.save(mistral_tensors(tensors, 8), source / f"consolidated.00.{kind}")
    with pytest.raises(ConfigError, match=r"FROM: .*cannot be used: loading them could run code"):
        convert(source, tmp_path / "to", silent)
    assert not (tmp_path / "to").exists()
    convert(source, tmp_path / "to", silent, pickles=True)
    same_as(hf, tmp_path / "to")
    for name in ("tokenizer.model", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / "to" / name).read_bytes() == (source / name).read_bytes()


def test_a_head_that_is_stored_beside_tied_embeddings_stays(
    source: Path, hf: HFCheckpoint, tmp_path: Path
) -> None:
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    convert(source, tmp_path / "to", silent)
    same_as(hf, tmp_path / "to")
    assert json.loads((tmp_path / "to/config.json").read_text())["tie_word_embeddings"] is False


def test_the_target_must_be_empty(source: Path, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "to/file").touch()
    with pytest.raises(ConfigError, match=r"TO: .*is not empty"):
        convert(source, tmp_path / "to", silent)
    with pytest.raises(ConfigError, match=r"TO: .*is not empty"):
        convert(source, source, silent)


def test_weights_that_fit_no_model_are_refused_before_anything_is_written(
    source: Path, tmp_path: Path
) -> None:
    tensors = load_file(source / "model.safetensors")
    save_file(tensors | {"extra": torch.zeros(1)}, source / "model.safetensors")
    with pytest.raises(ConfigError, match=r"FROM: .*unexpected extra"):
        convert(source, tmp_path / "to", silent)
    assert not (tmp_path / "to").exists()


def test_weights_that_are_nan_are_no_checkpoint(source: Path, tmp_path: Path) -> None:
    tensors = load_file(source / "model.safetensors")
    tensors["model.norm.weight"][3] = torch.nan
    save_file(tensors, source / "model.safetensors")
    with pytest.raises(ConfigError, match="FROM: its forward pass gives NaN or infinity"):
        convert(source, tmp_path / "to", silent)
    assert not (tmp_path / "to/config.json").exists()


def test_a_disk_that_changes_numbers_is_noticed(source: Path, tmp_path: Path) -> None:
    def spoil(what: str, done: int, total: int) -> None:
        if what == "a forward pass":
            file = tmp_path / "to/model.safetensors"
            data = bytearray(file.read_bytes())
            data[-1000] ^= 64
            file.write_bytes(data)

    with pytest.raises(JobError, match="TO gives other numbers than FROM") as error:
        convert(source, tmp_path / "to", spoil)
    assert error.value.exit_code == 1
    assert not (tmp_path / "to/config.json").exists()


def test_a_disk_that_is_too_small(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(ConfigError, match=r"TO: .* GB are to be written, 0\.0 GB are free there"):
        convert(source, tmp_path / "to", silent)


PROGRAM = """
import sys
from pathlib import Path
from pipeline.checkpoints.convert import convert
source, target = map(Path, sys.argv[1:])
convert(source, target, lambda what, done, total: print(what, flush=True), file_bytes=1)
"""


def converting(source: Path, target: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, source, target],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_at_any_moment_it_goes_on_behind_the_files_that_are_there(
    source: Path, hf: HFCheckpoint, tmp_path: Path
) -> None:
    target = tmp_path / "to"
    with converting(source, target) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(17)]
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it had not ended"
    assert not (target / "config.json").exists()
    written = sorted(file.name for file in target.glob("*.safetensors"))
    assert set(told) <= set(written)
    states = {name: (target / name).stat().st_mtime_ns for name in written}
    with converting(source, target) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.splitlines()[: len(written)] == [f"{name} was there" for name in written]
    assert {name: (target / name).stat().st_mtime_ns for name in written} == states
    same_as(hf, target)


def test_what_was_begun_from_another_checkpoint_is_not_gone_on_with(source: Path, tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "to", stop)
    tensors = load_file(source / "model.safetensors")
    save_file({name: 2 * tensor for name, tensor in tensors.items()}, source / "model.safetensors")
    with pytest.raises(
        ConfigError, match=r"TO: .*holds the beginning of another conversion, or FROM has changed"
    ):
        convert(source, tmp_path / "to", silent)


def test_two_at_a_time_are_refused(source: Path, tmp_path: Path) -> None:
    def again(what: str, done: int, total: int) -> None:
        with pytest.raises(JobError, match="another process is converting into it"):
            convert(source, tmp_path / "to", silent)

    convert(source, tmp_path / "to", again)

"""What the engine says of the way on which it computes."""

import re

import pytest
import torch

from benchmarks.random_checkpoint import SIZES
from model.attention import flash
from model.checkpoint.load import check_checkpoint
from model.config import ModelConfig
from model.engine import Engine
from model.execution.computing_path import expected_path
from model.kernels.compiled_kernels import compiled_operators
from model.linear.choose import layout_for
from model.linear.panels import compiled_for, panels
from tests.model.checkpoint.quantized.quantized_upload import write_upload
from tests.model.checkpoint.quantized.test_bitsandbytes import EIGHT, eight_bits


@pytest.mark.parametrize("compiler", [True, False])
def test_on_a_cpu_nothing_is_missing(checkpoint, compiler, monkeypatch):
    """Without a C++ compiler torch computes, and says so."""
    if not compiler:
        monkeypatch.setattr("model.kernels.compiled_kernels.load", lambda _: False)
        monkeypatch.setattr("model.attention.decode_cpu.load", lambda _: False)
    compiled = layout_for(torch.float32, torch.device("cpu"), "none") is panels
    if compiler and not compiled:
        pytest.skip("there is no C++ compiler")
    path = Engine.load(checkpoint("mixtral"), "float32", kv_cache_tokens=64, device="cpu").path
    device = path.pop("device")
    assert device.endswith(torch.backends.cpu.get_cpu_capability())
    assert path == {
        "dtype": "float32",
        "quantization": "none",
        "attention": "torch",
        "decode": "compiled" if compiler else "torch",
        "experts": "compiled" if compiler else "one by one",
        "steps": "eager",
    }


@pytest.mark.parametrize(("dtype", "quantization"), [("bfloat16", "none"), ("float32", "int8")])
def test_what_experts_are_compiled_for_is_said(checkpoint, dtype, quantization):
    """As the expected path says it before anything is loaded."""
    folder, cpu = checkpoint("mixtral"), torch.device("cpu")
    number = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    layout = layout_for(number, cpu, quantization)
    engine = Engine.load(folder, dtype, kv_cache_tokens=64, device="cpu", quantization=quantization)
    found = engine.path["experts"]
    assert found == (compiled_for(layout, number) or "one by one")
    assert (found == "compiled for AMX") == bool(compiled_operators() and compiled_operators().has_tiles())
    asked = {"quantization": quantization, "attention": "auto", "tensor_parallel": 1}
    assert expected_path(ModelConfig.from_folder(folder), cpu, number, **asked) == engine.path


@pytest.mark.parametrize(
    ("which", "experts"), [(r"(.+self_attn\..+)\.weight", "one by one"), (r"(.+q_proj)\.weight", None)]
)
def test_an_upload_in_few_bits_is_expected_as_it_is_computed(checkpoint, which, experts, tmp_path):
    """Queries alone don't stay in few bits, so that this model computes as a plain one."""
    cpu, plain = torch.device("cpu"), checkpoint("mixtral")
    folder, _ = write_upload(eight_bits, EIGHT, plain, tmp_path / "upload", re.compile(which))
    engine = Engine.load(folder, "float32", kv_cache_tokens=64, device="cpu")
    asked = {"quantization": "none", "attention": "auto", "tensor_parallel": 1}
    assert expected_path(check_checkpoint(folder), cpu, torch.float32, **asked) == engine.path
    expected = experts or expected_path(check_checkpoint(plain), cpu, torch.float32, **asked)["experts"]
    assert engine.path["experts"] == expected


def test_on_a_gpu_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks: str | None = None
    capability = (9, 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(flash, "_what_triton_lacks", lambda *_: lacks)
    model, gpu = ModelConfig.from_dict(SIZES["8x7b"]), torch.device("cuda", 0)

    def path(attention: str = "auto") -> dict[str, str]:
        asked = {"quantization": "none", "attention": attention, "tensor_parallel": 2}
        return expected_path(model, gpu, torch.bfloat16, **asked)  # type: ignore[arg-type]

    assert path() == {
        "device": "A card",
        "dtype": "bfloat16",
        "quantization": "none",
        "attention": flash.FLASH,
        "decode": "triton",
        "experts": "together",
        "steps": "captured",
    }
    capability = (8, 0)
    eager = path()
    assert (eager["attention"], eager["experts"], eager["steps"]) == (flash.FLASH, "one by one", "eager")
    assert eager["without_graphs"].startswith("they need experts in one kernel")
    assert "without_flash" not in eager
    lacks = "a C compiler"
    without = path()
    assert (without["attention"], without["decode"], without["steps"]) == ("torch", "torch", "eager")
    assert without["without_flash"] == "it needs a C compiler"
    assert without["without_graphs"] == "they need flash attention"
    assert path("sdpa")["without_flash"] == "model.attention is sdpa"

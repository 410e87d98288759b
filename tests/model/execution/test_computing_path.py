"""What the engine says of the way on which it computes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.attention import flash
from model.engine import Engine
from model.execution.computing_path import computing_path
from model.execution.options import ExecutorOptions


def test_on_a_cpu_nothing_is_missing(checkpoint):
    path = Engine.load(checkpoint("mixtral"), "bfloat16", kv_cache_tokens=64, device="cpu").path
    device = path.pop("device")
    assert device.endswith(torch.backends.cpu.get_cpu_capability())
    assert path == {
        "dtype": "bfloat16",
        "quantization": "none",
        "attention": "torch",
        "decode": "torch",
        "experts": "one by one",
        "steps": "eager",
    }


def test_on_a_gpu_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(flash, "_what_triton_lacks", lambda *_: "a C compiler")
    gpu = ExecutorOptions(
        Path("folder"), torch.bfloat16, torch.device("cuda", 0), 1, 8, 8, 64, "none", "auto", True
    )
    whole = computing_path(gpu, 128, fused=True, captured=True, grouped=True)
    assert whole == {
        "device": "A card",
        "dtype": "bfloat16",
        "quantization": "none",
        "attention": flash.FLASH,
        "decode": "triton",
        "experts": "together",
        "steps": "captured",
    }
    eager = computing_path(gpu, 128, fused=True, captured=False, grouped=False)
    assert eager["without_graphs"].startswith("they need experts in one kernel")
    assert "without_flash" not in eager
    without = computing_path(gpu, 128, fused=False, captured=False, grouped=True)
    assert without["without_flash"] == "it needs a C compiler"
    assert without["without_graphs"] == "they need flash attention"
    asked = computing_path(replace(gpu, attention="sdpa"), 128, fused=False, captured=False, grouped=True)
    assert asked["without_flash"] == "model.attention is sdpa"

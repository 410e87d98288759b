import pytest
import torch

from model.kernels.choose import kernels_for
from model.kernels.compiled_kernels import compiled_kernels
from model.kernels.kernels import PLAIN


def test_without_triton_a_gpu_has_the_plain_ones():
    assert kernels_for(torch.device("cuda"), torch.bfloat16, fused=False) is PLAIN


def test_with_triton_they_are_triton_s():
    pytest.importorskip("triton", reason="there are no wheels of it for this machine")
    assert kernels_for(torch.device("cuda"), torch.bfloat16, fused=True).name == "triton"


def test_a_cpu_has_compiled_ones_where_there_is_a_compiler(monkeypatch):
    cpu, compiled = torch.device("cpu"), compiled_kernels()
    assert kernels_for(cpu, torch.float32, fused=False).name == ("compiled" if compiled else "torch")
    assert kernels_for(cpu, torch.float16, fused=False) is PLAIN
    monkeypatch.setattr("model.kernels.compiled_kernels.load", lambda _: False)
    assert kernels_for(cpu, torch.float32, fused=False) is PLAIN

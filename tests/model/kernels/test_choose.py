import pytest
import torch

from model.kernels.choose import kernels_for
from model.kernels.kernels import PLAIN


def test_without_triton_a_gpu_has_the_plain_ones():
    assert kernels_for(torch.device("cuda"), fused=False) is PLAIN


def test_with_triton_they_are_triton_s():
    pytest.importorskip("triton", reason="there are no wheels of it for this machine")
    assert kernels_for(torch.device("cuda"), fused=True).name == "triton"

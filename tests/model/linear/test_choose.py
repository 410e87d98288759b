"""Which layout weights get, and what is refused."""

import pytest
import torch

from model.kernels.compiled_kernels import compiled_operators
from model.linear.choose import layout_for
from model.linear.int8 import int8
from model.linear.layout import plain
from model.linear.packed import packed
from model.linear.panels import inputs_together, int8_panels, multiplies_int8, panels
from tests.model.linear.weights import SHAPES, alone, drawn

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [33, 67])
@pytest.mark.parametrize("compiler", [True, False])
def test_bfloat16_is_not_converted_where_the_processor_multiplies_it(shape, rows, compiler, monkeypatch):
    if not compiler:
        monkeypatch.setattr("model.linear.choose.compiled_operators", lambda: None)
    layout = layout_for(torch.bfloat16, CPU, "none")
    native = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    compiled = compiler and compiled_operators() is not None
    pairs = compiled and inputs_together(torch.bfloat16) == 2
    assert layout is (panels if pairs else packed if native else panels if compiled else None)
    weight, x = drawn(*shape).bfloat16(), drawn(rows, shape[1], seed=1).bfloat16()
    multiply = alone(layout or plain, weight)
    exact = x.double() @ weight.double().T
    torch.testing.assert_close(multiply(x).double(), exact, atol=1e-2, rtol=1e-2)


def test_float32_is_in_panels_where_there_is_a_compiler(monkeypatch):
    assert layout_for(torch.float32, CPU, "none") is (packed if compiled_operators() is None else panels)
    monkeypatch.setattr("model.linear.choose.compiled_operators", lambda: None)
    assert layout_for(torch.float32, CPU, "none") is packed


def test_int8_is_multiplied_by_matrix_units_where_there_are_some(monkeypatch):
    assert layout_for(torch.float32, CPU, "int8") is (int8_panels if multiplies_int8() else int8)
    monkeypatch.setattr("model.linear.choose.multiplies_int8", lambda: False)
    assert layout_for(torch.float32, CPU, "int8") is int8


def test_4_bits_are_laid_out_as_they_are_read():
    for quantization in ("int4", "nf4"):
        assert layout_for(torch.bfloat16, torch.device("cpu"), quantization) is None


def test_what_cannot_be_quantized_so_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"int8 computes in float32 on CPUs, got torch\.bfloat16 on cpu"):
        layout_for(torch.bfloat16, CPU, "int8")
    with pytest.raises(ValueError, match=r"got torch\.float32 on cuda"):
        layout_for(torch.float32, torch.device("cuda"), "int8")
    with pytest.raises(ValueError, match="none, int8, int4 or nf4, got int2"):
        layout_for(torch.float32, CPU, "int2")
    with pytest.raises(ValueError, match="quantization fp8 is for GPUs; uploads in fp8 are read"):
        layout_for(torch.float32, CPU, "fp8")
    monkeypatch.setattr("model.linear.choose.multiplies_int8", lambda: False)
    monkeypatch.setattr(torch.backends.quantized, "engine", "qnnpack")
    with pytest.raises(ValueError, match="needs an x86 CPU"):
        layout_for(torch.float32, CPU, "int8")

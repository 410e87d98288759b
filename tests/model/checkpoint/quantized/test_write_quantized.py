"""What is written is what bitsandbytes and compressed-tensors read and would have written."""

import pytest
import torch
from bitsandbytes import functional
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

from model.checkpoint.quantized.write_quantized import Quantizer
from model.config import ModelConfig
from tests.model.conftest import SIZES

NAME = "model.layers.0.mlp.down_proj.weight"


def config(dtype="float32", **sizes):
    wide = {"hidden_size": 64, "intermediate_size": 128, "model_type": "mistral", "dtype": dtype}
    return ModelConfig.from_dict(SIZES | wide | sizes)


def written(way, weight, dtype):
    parts = Quantizer(way, config(dtype)).parts(NAME, tuple(weight.shape), lambda: weight)
    found = {}
    for part in parts:
        numbers = part.read().contiguous()
        assert (tuple(numbers.shape), numbers.nbytes) == (part.shape, part.size)
        found[part.name.removeprefix("model.layers.0.mlp.down_proj.")] = numbers
    return found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nf4_is_bitsandbytes_own_to_the_bit(dtype):
    weight = torch.randn(64, 128)
    packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    found = written("nf4", weight, dtype)
    assert torch.equal(found["weight"], packed)
    assert torch.equal(found["weight.absmax"], state.absmax)
    parts = {f"{name}": value for name, value in found.items() if name != "weight"}
    again = functional.QuantState.from_dict(
        {name.removeprefix("weight."): value for name, value in parts.items()}, device=torch.device("cpu")
    )
    expected = functional.dequantize_4bit(packed, state).to(getattr(torch, dtype))
    assert torch.equal(functional.dequantize_4bit(found["weight"], again), expected)


@pytest.mark.parametrize(("way", "bits"), [("int4", 4), ("int8", 8)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_whole_numbers_are_compressed_tensors_own(way, bits, dtype):
    weight = torch.randn(64, 128)
    found = written(way, weight, dtype)
    quantizer = Quantizer(way, config(dtype))
    args = quantizer.entry(config(dtype))["config_groups"]["group_0"]["weights"]
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**args))
    library = BaseCompressor.get_value_from_registry("pack-quantized")
    again = library.decompress(dict(found), scheme)["weight"]
    assert torch.equal(again.float(), quantizer.quantized(weight).numbers().to(getattr(torch, dtype)).float())
    assert (again.float() - weight).abs().max() < weight.abs().max() * 2.2 / (1 << bits)


def test_widths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"nf4 needs widths that 64 divides, the model has \[32, 48, 64\]"):
        Quantizer("nf4", config(hidden_size=32, intermediate_size=48, head_dim=16))
    with pytest.raises(ValueError, match="int4 needs widths that 8 divides"):
        Quantizer("int4", config(intermediate_size=36))

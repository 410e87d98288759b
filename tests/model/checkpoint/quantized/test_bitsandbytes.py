"""bitsandbytes' own uploads, and single weights as it quantizes them, compared with what it makes of them."""

import pytest
import torch
from bitsandbytes import functional
from bitsandbytes.nn import Int8Params
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from model.checkpoint.load import check_checkpoint
from tests.model.checkpoint.quantized.quantized_upload import (
    Q,
    only_weight,
    require_logits_of_dequantized,
    write_quantized,
)
from tests.model.checkpoint.refusal import PROMPT, logits_of

FOUR = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}
EIGHT = {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}


def four_bits(weight, kind="nf4", nested=True, block=64, storage=torch.uint8):
    packed, state = functional.quantize_4bit(
        weight, blocksize=block, compress_statistics=nested, quant_type=kind, quant_storage=storage
    )
    parts = {f"weight.{name}": value for name, value in state.as_dict(packed=True).items()}
    return {"weight": packed} | parts, functional.dequantize_4bit(packed, state)


def eight_bits(weight):
    moved = Int8Params(weight, has_fp16_weights=False)
    codes, largest, _ = functional.int8_vectorwise_quant(moved.data.half())
    parts = {"weight": codes, "SCB": largest, "weight_format": torch.tensor(0, dtype=torch.uint8)}
    return parts, functional.int8_vectorwise_dequant(codes, largest)


def stored(parts):
    return {f"{Q}.{name}": value for name, value in parts.items()}


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(("outputs", "inputs", "block"), [(40, 64, 64), (33, 50, 64), (96, 512, 128)])
def test_four_bits_are_bitsandbytes_own_to_the_bit(kind, nested, outputs, inputs, block, tmp_path):
    parts, expected = four_bits(torch.randn(outputs, inputs), kind, nested, block)
    read = only_weight(stored(parts), FOUR, tmp_path)
    assert torch.equal(read[:], expected)
    assert torch.equal(read[3:7, 5:], expected[3:7, 5:])


@pytest.mark.parametrize("storage", [torch.bfloat16, torch.float16, torch.float32, torch.int8])
def test_bytes_that_are_stored_as_numbers(storage, tmp_path):
    """`bnb_4bit_quant_storage`, which FSDP with QLoRA needs."""
    parts, expected = four_bits(torch.randn(40, 64), storage=storage)
    assert parts["weight"].dtype is storage
    entry = FOUR | {"bnb_4bit_quant_storage": str(storage).removeprefix("torch.")}
    assert torch.equal(only_weight(stored(parts), entry, tmp_path)[:], expected)
    parts["weight"] = parts["weight"][1:]
    with pytest.raises(ValueError, match="its weight's other parts ask for shape"):
        write_quantized(stored(parts), entry, tmp_path)


def test_eight_bits_are_bitsandbytes_own(tmp_path):
    parts, expected = eight_bits(torch.randn(40, 64))
    read = only_weight(stored(parts), EIGHT, tmp_path)
    torch.testing.assert_close(read[:], expected, rtol=3e-7, atol=0)  # two products, rounded twice


@pytest.mark.parametrize("variant", ["mixtral", "dense"])
def test_an_upload_that_transformers_saved(variant, checkpoint, tmp_path):
    """Version 5 leaves experts in 16 bits; of the dense model it quantizes every layer."""
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    oracle = AutoModelForCausalLM.from_pretrained(
        checkpoint(variant), quantization_config=settings, dtype=torch.float32, device_map="cpu"
    )
    oracle.save_pretrained(tmp_path)
    assert f"{Q}.weight.quant_state.bitsandbytes__nf4" in load_file(tmp_path / "model.safetensors")
    check_checkpoint(tmp_path)
    with torch.inference_mode():
        expected = oracle(torch.tensor([PROMPT])).logits[0]
    torch.testing.assert_close(logits_of(tmp_path), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize(("quantize", "entry"), [(four_bits, FOUR), (eight_bits, EIGHT)])
def test_experts_one_by_one_as_older_uploads_have_them(quantize, entry, checkpoint, tmp_path):
    require_logits_of_dequantized(quantize, entry, checkpoint("mixtral"), tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weight.absmax", None, "of its weight in bitsandbytes absmax is missing"),
        ("weight.absmax", torch.zeros(3, dtype=torch.uint8), r"other parts ask for shape \[40\]"),
        ("weight.absmax", torch.zeros(40), "must be stored as U8, got F32"),
        ("weight", torch.zeros(40, 64), r"ask for shape \[320, 1\], the file has \[40, 64\]"),
        ("weight.nested_quant_map", torch.zeros(3), r"ask for shape \[256\]"),
        ("weight.quant_state.bitsandbytes__nf4", torch.zeros(3, dtype=torch.uint8), "not valid JSON"),
        (
            "weight.quant_state.bitsandbytes__nf4",
            torch.tensor([*b'{"shape": [-1, 1]}'], dtype=torch.uint8),
            "shape must be a positive integer",
        ),
    ],
)
def test_parts_that_do_not_fit_are_named(name, value, message, tmp_path):
    parts, _ = four_bits(torch.randn(40, 64))
    parts[name] = value
    with pytest.raises(ValueError, match=message):
        write_quantized(
            stored({name: part for name, part in parts.items() if part is not None}), FOUR, tmp_path
        )

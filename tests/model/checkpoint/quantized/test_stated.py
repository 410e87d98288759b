"""Which way of quantizing an upload states; what is refused stands in test_upload.py."""

import pytest

from model.checkpoint.quantized.stated import Stated, stated_quantization
from model.checkpoint.safetensors_files import quantization_of


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"quantization_config": None}, None),
        ({"quantization_config": {"quant_method": "awq", "bits": 4, "version": "GEMM"}}, Stated("AWQ", (4,))),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, Stated("GPTQ", (8,), less_one=True)),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_v2"}},
            Stated("GPTQ", (4,)),
        ),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4, "format": "gptq_v2"}},
            Stated("GPTQ", (4,)),
        ),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True}},
            Stated("GPTQ", (4,), (32,), less_one=True),
        ),
        (
            {
                "quantization_config": {
                    "quant_method": "gptq",
                    "bits": 4,
                    "group_size": 32,
                    "dynamic": {"+": {}},
                }
            },
            Stated("GPTQ", (4,), less_one=True),
        ),
        ({"quantization_config": {"load_in_4bit": True}}, Stated("bitsandbytes")),
        ({"quantization_config": {"quant_method": "fbgemm_fp8"}}, Stated("fp8")),
        (
            {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 64]}},
            Stated("fp8", block=(128, 64)),
        ),
        ({"compression_config": {"format": "int-quantized"}}, Stated("compressed-tensors", (4, 8))),
    ],
)
def test_in_config_json(config, expected, tmp_path):
    assert stated_quantization(tmp_path, ["model.safetensors"], config) == expected


def test_in_files_of_older_uploads(tmp_path):
    (tmp_path / "quant_config.json").write_text('{"w_bit": 4, "q_group_size": 128, "version": "GEMM"}')
    assert stated_quantization(tmp_path, ["quant_config.json"], {}) == Stated("AWQ", (4,), (128,))
    (tmp_path / "quantize_config.json").write_text('{"bits": 4, "group_size": 128}')
    assert stated_quantization(tmp_path, ["quantize_config.json"], {}).less_one


def test_plain_checkpoints_state_nothing(checkpoint):
    assert quantization_of(checkpoint("mixtral")) is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq", "format": "gptq_v2"},
            "'gptq', 'gptq_v2'",
        ),
        ({"quant_method": "awq", "bits": 4, "version": "gemm", "format": "gemv"}, "'gemm', 'gemv'"),
    ],
)
def test_two_keys_that_contradict_each_other(entry, message, tmp_path):
    with pytest.raises(ValueError, match=f"contradict each other: {message}"):
        stated_quantization(tmp_path, [], {"quantization_config": entry})


def test_one_key_under_its_other_name(tmp_path):
    entry = {"quant_method": "awq", "bits": 4, "format": "gemv"}
    with pytest.raises(ValueError, match="version of AWQ must be gemm, got 'gemv'"):
        stated_quantization(tmp_path, [], {"quantization_config": entry})

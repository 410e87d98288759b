"""Which way of quantizing an upload states; what is refused stands in test_upload.py."""

import pytest

from model.checkpoint.quantized.stated import Stated, stated_quantization
from model.checkpoint.safetensors_files import quantization_of


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"quantization_config": None}, None),
        ({"quantization_config": {"quant_method": "awq", "bits": 4, "version": "GEMM"}}, Stated("AWQ", 4)),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, Stated("GPTQ", 8, less_one=True)),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_v2"}},
            Stated("GPTQ", 4),
        ),
        ({"quantization_config": {"load_in_4bit": True}}, Stated("bitsandbytes")),
        ({"quantization_config": {"quant_method": "fbgemm_fp8"}}, Stated("fp8")),
        (
            {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 64]}},
            Stated("fp8", block=(128, 64)),
        ),
        ({"compression_config": {"format": "int-quantized"}}, Stated("compressed-tensors")),
    ],
)
def test_in_config_json(config, expected, tmp_path):
    assert stated_quantization(tmp_path, ["model.safetensors"], config) == expected


def test_in_files_of_older_uploads(tmp_path):
    (tmp_path / "quant_config.json").write_text('{"w_bit": 4, "q_group_size": 128, "version": "GEMM"}')
    assert stated_quantization(tmp_path, ["quant_config.json"], {}) == Stated("AWQ", 4)
    (tmp_path / "quantize_config.json").write_text('{"bits": 4, "group_size": 128}')
    assert stated_quantization(tmp_path, ["quantize_config.json"], {}).less_one


def test_plain_checkpoints_state_nothing(checkpoint):
    assert quantization_of(checkpoint("mixtral")) is None

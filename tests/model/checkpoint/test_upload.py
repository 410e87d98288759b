"""Each kind of upload that is no model in plain numbers is refused by what it is."""

import json

import pytest
import torch

from model.checkpoint.load import check_checkpoint
from tests.model.checkpoint.refusal import refused

WEIGHTS, SHARD = "model.safetensors", "model-00001-of-00002.safetensors"
QUANTIZED = "the weights are quantized with {}; read are AWQ"
# What the folder holds beside a checkpoint's usual files; None: one of these is not there.
FILES = [
    (
        {"config.json": None, WEIGHTS: None, "adapter_config.json": "{}", "adapter_model.safetensors": ""},
        r"adapter_config\.json in it: this is an adapter \(LoRA\), no whole model: name its base",
    ),
    (
        {WEIGHTS: None, "adapter_config.json": "{}", "adapter_model.safetensors": ""},
        r"adapter_config\.json in it: this is an adapter \(LoRA\), no whole model",
    ),
    (
        {"adapter_config.json": "{}", "adapter_model.safetensors": ""},
        r"adapter_config\.json beside the weights of a base, and programs .* name it as model\.adapter$",
    ),
    ({"config.json": None, WEIGHTS: None, "m.Q4_K_M.gguf": ""}, r"m\.Q4_K_M\.gguf is in GGUF, llama\.cpp's"),
    ({WEIGHTS: None, "m.gguf": ""}, r"m\.gguf is in GGUF"),
    (
        {"config.json": None, WEIGHTS: None, "params.json": "{}"},
        r"no consolidated\*\.safetensors; only safetensors weights are read$",
    ),
    (
        {"config.json": None, "params.json": "{}"},
        r"no consolidated\*\.safetensors; .* \(model\.safetensors is no name that Mistral's own format has\)",
    ),
    (
        {"config.json": None},
        r"no config\.json in it, nor Mistral's params\.json, so this is no checkpoint's folder",
    ),
    (
        {WEIGHTS: None, SHARD: "", "quant_config.json": "{}"},
        "quant_config.json: bits of AWQ must be 4, got None",
    ),
    ({"quantize_config.json": "{"}, "quantize_config.json: not valid JSON"),
    ({"quantize_config.json": '{"bits": 4}'}, "should be quantized with GPTQ, but none of them is"),
    (
        {WEIGHTS: None, "gptq_model-4bit-128g.safetensors": ""},
        r"gptq_model-4bit-128g\.safetensors is no name that Hugging Face's format has",
    ),
    ({"hf_quant_config.json": "{}"}, QUANTIZED.format("ModelOpt")),
]
CONFIGS = [
    *(
        ({"quantization_config": entry}, QUANTIZED.format(method))
        for entry, method in (
            ({"quant_method": "hqq"}, "hqq"),
            ({"quant_method": ["awq"]}, "list"),
            ({"bits": 4, "group_size": 64}, "MLX"),
            ({"a": 1}, r"a method that config\.json does not name"),
        )
    ),
    ({"quantization": {"bits": 4, "group_size": 64}}, QUANTIZED.format("MLX")),
    *(
        ({"quantization_config": {"quant_method": method} | entry}, message)
        for method, entry, message in (
            ("awq", {"bits": 3}, "bits of AWQ must be 4, got 3; read are"),
            ("awq", {"bits": 4, "version": "gemv"}, "version of AWQ must be gemm, got 'gemv'"),
            ("gptq", {"bits": 3}, "bits of GPTQ must be 4 or 8, got 3"),
            ("gptq", {"bits": 4, "checkpoint_format": "marlin"}, "must be gptq or gptq_v2, got 'marlin'"),
            ("gptq", {"bits": 4, "is_marlin_format": True}, "must be gptq or gptq_v2, got marlin"),
            ("compressed-tensors", {"format": "nvfp4-pack-quantized"}, "got 'nvfp4-pack-quantized'"),
            ("compressed-tensors", {"format": ["pack-quantized"]}, "got list"),
            ("fp8", {"weight_block_size": [128]}, "weight_block_size must be two numbers"),
            ("fp8", {"weight_block_size": [128, 0]}, "weight_block_size must be a positive integer"),
            ("bitsandbytes", {"load_in_4bit": True}, "with bitsandbytes, but none of them is"),
        )
    ),
    ({"quantization_config": {"load_in_8bit": True}}, "with bitsandbytes, but none of them is"),
    ({"compression_config": {"format": "pack-quantized"}}, "with compressed-tensors, but none of them is"),
    *(
        (
            {"architectures": [name]},
            rf"architectures in config\.json: {name} is {what}; run are those of Mixtral",
        )
        for name, what in (
            ("MistralRewardModel", "a reward model with a head of its own kind"),
            ("MistralForCausalLMWithValueHead", "a model with a value head"),
            ("LlavaMistralForCausalLM", "none that is known here"),
        )
    ),
    ({"architectures": [7]}, "int is none that is known here"),
    (
        {"transformers_weights": "other.safetensors"},
        r"transformers_weights in config\.json \(other\.safetensors\)",
    ),
]
TENSORS = [
    ("model.layers.0.self_attn.q_proj.lora_A.weight", "a LoRA adapter's"),
    ("model.layers.0.self_attn.q_proj.g_idx", "quantized with GPTQ"),
    ("model.layers.0.self_attn.q_proj.qzeros", "quantized with AWQ or GPTQ"),
    ("model.layers.0.self_attn.q_proj.weight.quant_state.bitsandbytes__nf4", "quantized with bitsandbytes"),
    ("model.layers.0.self_attn.q_proj.weight.absmax", "quantized with bitsandbytes"),
    ("model.layers.0.self_attn.q_proj.weight_scale", "quantized, in fp8 or by compressed-tensors"),
    ("model.layers.0.self_attn.q_proj.scales", "these are quantized"),
    ("v_head.summary.weight", "a value head"),
    ("layers.0.attention.wq.weight", "Mistral's own format"),
]


@pytest.mark.parametrize(
    ("files", "message"), FILES, ids=lambda value: "" if isinstance(value, str) else None
)
def test_by_its_files(files, message, folder):
    for name, content in files.items():
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(content)
    refused(folder, (ValueError, FileNotFoundError), message)


def test_by_its_config(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for changes, message in CONFIGS:
        path.write_text(json.dumps(config | changes))
        refused(folder, ValueError, message)


def test_by_its_tensors(folder, spoil):
    """Where neither files nor config.json tell it; a plain upload's names tell nothing of the kind."""
    for name, message in TENSORS:
        spoil(lambda tensors, name=name: tensors.update({name: torch.zeros(1)}))
        refused(folder, ValueError, f"^{name}: .*{message}")
        spoil(lambda tensors, name=name: tensors.pop(name))


def test_what_else_an_upload_may_hold_is_no_matter(folder, checkpoint):
    for name in ("m.gguf", "pytorch_model.bin", "params.json", "consolidated.safetensors", "README.md"):
        (folder / name).write_text("{}")
    (folder / "1_Pooling").mkdir()
    path = folder / "config.json"
    for architectures in (["MistralForCausalLM"], ["MixtralForCausalLM"], [], None):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": architectures}))
        assert check_checkpoint(folder) == check_checkpoint(checkpoint("mixtral"))

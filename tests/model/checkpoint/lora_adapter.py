"""A LoRA adapter of the time before transformers 5: a pair for each expert's matrix."""

import json

import torch
from safetensors.torch import save_file


def write_old(folder, sizes=(32, 48, 8), scale=0.2, **changes):
    """For a model of three layers, of widths D and F and with E experts; keys of its config replaced."""
    D, F, E = sizes
    modules = {"self_attn.q_proj": (D, D), "block_sparse_moe.gate": (D, E)}
    for e in range(E):
        expert = f"block_sparse_moe.experts.{e}"
        modules |= {f"{expert}.w1": (D, F), f"{expert}.w2": (F, D), f"{expert}.w3": (D, F)}
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for layer in range(3):
        for module, (inputs, outputs) in modules.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            tensors[f"{name}.lora_A.weight"] = torch.randn(4, inputs, generator=generator) * scale
            tensors[f"{name}.lora_B.weight"] = torch.randn(outputs, 4, generator=generator) * scale
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 6, "bias": "none"}
    targets = {"target_modules": ["q_proj", "gate", "w1", "w2", "w3"]}
    (folder / "adapter_config.json").write_text(json.dumps(config | targets | changes))
    return folder

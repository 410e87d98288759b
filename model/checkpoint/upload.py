"""What kind of upload a folder holds, by the names in it, its config.json and its tensors.

Only a model of transformers' classes whose weights are plain numbers is run. Everything else is refused by
what it is: its missing and unexpected tensors would tell nobody.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any

from model.trained_head import kind_of

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_FORMAT = {"model": "Hugging Face's", "consolidated": "Mistral's own"}
_RUN = "run are those of Mixtral and Mistral with transformers' classes, such as MixtralForCausalLM"
_UNQUANTIZED = (
    "such weights are not read: give the upload that is not quantized (model.quantization can make it small)"
)

# Of config.json's quantization_config.quant_method; others are called as they call themselves.
_METHODS = {"awq": "AWQ", "gptq": "GPTQ", "fbgemm_fp8": "fp8", "exl2": "EXL2", "modelopt": "ModelOpt"}
# Files that older uploads have instead of it.
_QUANTIZED_BY_FILE = (
    ("quant_config.json", "AWQ"),
    ("quantize_config.json", "GPTQ"),
    (r"gptq_model-.*\.safetensors", "GPTQ"),
    ("hf_quant_config.json", "ModelOpt"),
)
_ARCHITECTURES = (
    (r".*Reward.*", "a reward model with a head of its own kind"),
    (r".*WithValueHead", "a model with a value head"),
)
_TENSORS = (
    (r".*\.lora_[A-Za-z_]+(\..*)?", "these are a LoRA adapter's: name its folder as model.adapter"),
    (r".*\.g_idx", f"these are quantized with GPTQ, and {_UNQUANTIZED}"),
    (r".*\.qzeros", f"these are quantized with AWQ or GPTQ, and {_UNQUANTIZED}"),
    (
        r".*\.(absmax|quant_map|quant_state\..*|SCB)",
        f"these are quantized with bitsandbytes, and {_UNQUANTIZED}",
    ),
    (
        r".*\.(weight_scale|weight_scale_inv|weight_packed|input_scale)",
        f"these are quantized, in fp8 or by compressed-tensors, and {_UNQUANTIZED}",
    ),
    (r".*\.(scales|biases)", f"these are quantized, and {_UNQUANTIZED}"),
    (
        r"tok_embeddings\.weight|layers\.0\.attention\.wq\.weight",
        "this is a name of Mistral's own format, which is read from a folder with params.json and without "
        "config.json",
    ),
    (r"v_head\..*", "this is a value head, as models in training have it, and no head that is read"),
)  # fmt: skip


def require_known_upload(names: Collection[str], config: dict[str, Any] | None) -> None:
    """ValueError that says what else it is, from its files' names and its config.json (None: it has none)."""
    safetensors = [name for name in names if name.endswith(".safetensors")]
    if "adapter_config.json" in names:
        if config is None or not any(not name.startswith("adapter_") for name in safetensors):
            raise ValueError(
                "adapter_config.json in it: this is an adapter (LoRA), no whole model: name its base as "
                "model.path and this folder as model.adapter"
            )
        raise ValueError(
            "adapter_config.json beside the weights of a base, and programs differ in whether they apply it: "
            "take adapter_* away to run the base alone, or into a folder of its own and name it as "
            "model.adapter"
        )
    if not safetensors and (gguf := _first(names, r".*\.gguf")):
        raise ValueError(
            f"{gguf} is in GGUF, llama.cpp's format, which is not read; give the upload in safetensors"
        )
    if config is None:
        if "params.json" in names:
            return
        raise FileNotFoundError(
            "no config.json in it, nor Mistral's params.json, so this is no checkpoint's folder"
        )
    if method := _quantization(names, config):
        raise ValueError(f"the weights are quantized with {method}, and {_UNQUANTIZED}")
    _check_architecture(config.get("architectures"))
    if file := config.get("transformers_weights"):
        raise ValueError(f"transformers_weights in config.json ({_shown(file)}) is not read; remove it")


def require_weights(names: Iterable[str], weights: Collection[str], stem: str) -> None:
    """FileNotFoundError, which says what there is instead, if there are no `weights` among the names."""
    if weights:
        return
    found = ""
    if others := sorted(name for name in names if name.endswith(".safetensors")):
        if stem == "model" and "params.json" in names and others[0].startswith("consolidated"):
            raise FileNotFoundError(
                f"config.json, but no model*.safetensors; {others[0]} is in Mistral's own format, which is "
                "read from a folder without config.json (give one with params.json, it and the tokenizer)"
            )
        found = f" ({', '.join(others[:3])} is no name that {_FORMAT[stem]} format has)"
    elif pickles := sorted(name for name in names if name.endswith(_PICKLES)):
        found = (
            f" ({', '.join(pickles[:3])} cannot be used: loading them could run code; "
            "`python -m jobs convert` writes them as safetensors)"
        )
    raise FileNotFoundError(f"no {stem}*.safetensors; only safetensors weights are read{found}")


def require_known_tensors(names: Iterable[str]) -> None:
    """ValueError that says what these tensors are, if their names tell another kind of upload."""
    names = sorted(names)
    for pattern, what in _TENSORS:
        if name := _first(names, pattern):
            raise ValueError(f"{name}: {what}")


def _quantization(names: Iterable[str], config: dict[str, Any]) -> str | None:
    """The method, if the weights are quantized."""
    if config.get("compression_config"):
        return "compressed-tensors"
    if entry := config.get("quantization_config") or config.get("quantization"):
        entry = entry if isinstance(entry, dict) else {}
        method = entry.get("quant_method")
        if method is None and ("load_in_4bit" in entry or "load_in_8bit" in entry):
            method = "bitsandbytes"
        if method is None and {"bits", "group_size"} <= entry.keys():
            method = "MLX"
        if method is None:
            return "a method that config.json does not name"
        return _METHODS.get(method, _shown(method)) if isinstance(method, str) else _shown(method)
    return next((method for pattern, method in _QUANTIZED_BY_FILE if _first(names, pattern)), None)


def _check_architecture(architectures: Any) -> None:
    if not architectures or kind_of(architectures):
        return
    name = architectures[0] if isinstance(architectures, list) else architectures
    what = "none that is known here"
    if isinstance(name, str):
        what = next((what for pattern, what in _ARCHITECTURES if re.fullmatch(pattern, name)), what)
    raise ValueError(f"architectures in config.json: {_shown(name)} is {what}; {_RUN}")


def _first(names: Iterable[str], pattern: str) -> str | None:
    return next((name for name in sorted(names) if re.fullmatch(pattern, name)), None)


def _shown(value: Any) -> str:
    return value[:60] if isinstance(value, str) else type(value).__name__

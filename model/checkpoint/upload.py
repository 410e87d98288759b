"""What kind of upload a folder holds, by the names in it, its config.json and its tensors.

Only a model of transformers' classes is run, with weights that are plain numbers or quantized in one of the
ways of `model.checkpoint.quantized`. Everything else is refused by
what it is: its missing and unexpected tensors would tell nobody.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any

from model.trained_head import kind_of

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_FORMAT = {"model": "Hugging Face's", "consolidated": "Mistral's own"}
_RUN = "run are those of Mixtral and Mistral with transformers' classes, such as MixtralForCausalLM"
_UNSTATED = (
    "and config.json has no quantization_config that says so: add the one that they were quantized with, or "
    "give another upload"
)

_ARCHITECTURES = (
    (r".*Reward.*", "a reward model with a head of its own kind"),
    (r".*WithValueHead", "a model with a value head"),
)
_TENSORS = (
    (r".*\.lora_[A-Za-z_]+(\..*)?", "these are a LoRA adapter's: name its folder as model.adapter"),
    (r".*\.g_idx", f"these are quantized with GPTQ, {_UNSTATED}"),
    (r".*\.qzeros", f"these are quantized with AWQ or GPTQ, {_UNSTATED}"),
    (
        r".*\.(absmax|quant_map|quant_state\..*|SCB)",
        f"these are quantized with bitsandbytes, {_UNSTATED}",
    ),
    (
        r".*\.(weight_scale|weight_scale_inv|weight_packed|input_scale)",
        f"these are quantized, in fp8 or by compressed-tensors, {_UNSTATED}",
    ),
    (r".*\.(scales|biases)", f"these are quantized, {_UNSTATED}"),
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

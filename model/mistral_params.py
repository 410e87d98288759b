"""Mistral's own params.json in the words of Hugging Face's config.json."""

from typing import Any

from model.json_values import short

# Of params.json, the key in config.json.
_SIZES = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "head_dim": "head_dim",
    "hidden_dim": "intermediate_size",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "norm_eps": "rms_norm_eps",
    "vocab_size": "vocab_size",
}
_EXPERTS = {"num_experts": "num_local_experts", "num_experts_per_tok": "num_experts_per_tok"}
# They change nothing that is computed here, whatever they say.
_UNUSED = (
    "max_batch_size",
    "attn_window_size",
    "pipeline_parallel",
    "model_parallel",
    "dtype",
    "torch_dtype",
)
# They change nothing where they say so.
_OFF: tuple[Any, ...] = (None, False, 0, [], {})
_CONTEXT = 32768  # where params.json says nothing: the least of any release
_THETA, _THETA_WITH_WINDOW = 1e6, 1e4
_END = 2  # `</s>` in every vocabulary of Mistral's, from v1 to tekken


def config_of_params(params: dict[str, Any], source: str) -> dict[str, Any]:
    """What config.json would hold; ValueError for a model of another kind.

    Of the numbers only their names change: whoever reads the config checks them.
    """
    moe = params.get("moe")
    if moe is not None and not isinstance(moe, dict):
        raise ValueError(f"{source}: moe must be an object, got {short(moe)}")
    _refuse_other_models(params, moe or {}, source)
    for key in _SIZES:
        if key not in params and key not in ("head_dim", "n_kv_heads"):
            raise ValueError(f"{source}: {key} is missing")
    for key in _EXPERTS:
        if moe and key not in moe:
            raise ValueError(f"{source}: moe.{key} is missing")
    window = _window(params, source)
    theta = params.get("rope_theta")
    if theta is None:
        theta = _THETA if window is None else _THETA_WITH_WINDOW
    context = params.get("max_seq_len") or params.get("max_position_embeddings") or _CONTEXT
    return {
        "architectures": ["MixtralForCausalLM" if moe else "MistralForCausalLM"],
        "model_type": "mixtral" if moe else "mistral",
        "num_key_value_heads": params["n_heads"],  # where n_kv_heads says nothing; transformers would take 8
        **{theirs: params[key] for key, theirs in _SIZES.items() if key in params},
        **{theirs: moe[key] for key, theirs in _EXPERTS.items() if moe},
        "hidden_act": "silu",
        "rope_theta": theta,
        "sliding_window": window,
        "max_position_embeddings": context,
        "tie_word_embeddings": params.get("tied_embeddings") or False,
        "torch_dtype": "bfloat16",
        "bos_token_id": 1,
        "eos_token_id": _END,
    }


def _refuse_other_models(params: dict[str, Any], moe: dict[str, Any], source: str) -> None:
    """What no Mixtral or dense Mistral has, such as an image encoder or latent attention, has a key here."""
    kind = params.get("model_type", "transformer")
    if kind != "transformer":
        raise ValueError(f"{source}: model_type must be transformer, got {short(kind)}")
    known = {
        *_SIZES, *_UNUSED, "moe", "model_type", "rope_theta", "sliding_window", "_sliding_window",
        "max_seq_len", "max_position_embeddings", "tied_embeddings", "causal", "use_biases",
    }  # fmt: skip
    others = [key for key, value in params.items() if key not in known and value not in _OFF]
    others += [f"moe.{key}" for key, value in moe.items() if key not in _EXPERTS and value not in _OFF]
    others += [key for key, of_these in (("causal", True), ("use_biases", False)) if key in params
               and params[key] is not of_these]  # fmt: skip
    if others:
        raise ValueError(
            f"{source}: {', '.join(sorted(others)[:5])}: a model with these is none that is run (Mixtral, or "
            "a dense Mistral of text alone)"
        )


def _window(params: dict[str, Any], source: str) -> int | None:
    """It may be a number or its digits, under either name."""
    window = params.get("sliding_window", params.get("_sliding_window"))
    if isinstance(window, str) and window.isascii() and window.isdigit() and len(window) < 12:
        window = int(window)
    if window is None or type(window) is int:
        return window
    raise ValueError(f"{source}: sliding_window must be one number for all layers, got {short(window)}")

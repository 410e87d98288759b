"""A checkpoint rewritten in Mistral's own format, and mistral-inference's calculation over that.

H heads, G key/value heads, hd head dimension, T tokens, D width.
"""

import json
import re

import torch
from safetensors.torch import load_file, save_file

NAMES = [
    (r"model\.embed_tokens", "tok_embeddings"),
    (r"model\.norm", "norm"),
    (r"lm_head", "output"),
    (r"model\.layers\.(\d+)\.self_attn\.([qkvo])_proj", r"layers.\1.attention.w\2"),
    (r"model\.layers\.(\d+)\.input_layernorm", r"layers.\1.attention_norm"),
    (r"model\.layers\.(\d+)\.post_attention_layernorm", r"layers.\1.ffn_norm"),
    (r"model\.layers\.(\d+)\.block_sparse_moe\.(.+)", r"layers.\1.feed_forward.\2"),
    (r"model\.layers\.(\d+)\.mlp\.gate_proj", r"layers.\1.feed_forward.w1"),
    (r"model\.layers\.(\d+)\.mlp\.down_proj", r"layers.\1.feed_forward.w2"),
    (r"model\.layers\.(\d+)\.mlp\.up_proj", r"layers.\1.feed_forward.w3"),
]


def params_of(config):
    """params.json of what config.json describes."""
    params = {
        "dim": config["hidden_size"],
        "n_layers": config["num_hidden_layers"],
        "head_dim": config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"],
        "hidden_dim": config["intermediate_size"],
        "n_heads": config["num_attention_heads"],
        "n_kv_heads": config["num_key_value_heads"],
        "norm_eps": config["rms_norm_eps"],
        "vocab_size": config["vocab_size"],
        "rope_theta": config["rope_parameters"]["rope_theta"],
        "max_seq_len": config["max_position_embeddings"],
    }
    if config.get("sliding_window"):
        params["sliding_window"] = config["sliding_window"]
    if "num_local_experts" in config:
        params["moe"] = {
            "num_experts": config["num_local_experts"],
            "num_experts_per_tok": config["num_experts_per_tok"],
        }
    return params


def mistral_tensors(tensors, head_dim):
    """HF's tensors under Mistral's names, queries and keys in Mistral's order of rows."""
    renamed = {}
    for name, tensor in tensors.items():
        stem = name.removesuffix(".weight")
        [own] = [re.sub(theirs, ours, stem) for theirs, ours in NAMES if re.fullmatch(theirs, stem)]
        if re.search(r"\.w[qk]$", own):
            halves = tensor.view(-1, 2, head_dim // 2, tensor.shape[1])
            tensor = halves.transpose(1, 2).reshape(tensor.shape)
        renamed[f"{own}.weight"] = tensor
    return renamed


def write_mistral(source, target, **changes):
    """The checkpoint in `source`, of one file, in Mistral's own format."""
    target.mkdir(exist_ok=True)
    params = params_of(json.loads((source / "config.json").read_text())) | changes
    (target / "params.json").write_text(json.dumps(params))
    tensors = mistral_tensors(load_file(source / "model.safetensors"), params["head_dim"])
    save_file(tensors, target / "consolidated.safetensors")
    return target


def plain_logits(folder, token_ids):
    """[T] -> [T, V], in float32."""
    params = json.loads((folder / "params.json").read_text())
    tensors = load_file(folder / "consolidated.safetensors")
    hd, T = params["head_dim"], len(token_ids)
    frequencies = 1.0 / params["rope_theta"] ** (torch.arange(0, hd, 2).double() / hd)
    turn = torch.polar(torch.ones(T, hd // 2).double(), torch.arange(T)[:, None] * frequencies)[:, None]
    distance = torch.arange(T)[:, None] - torch.arange(T)[None]
    visible = (distance >= 0) & (distance < int(params.get("sliding_window") or T))

    def norm(x, name):
        return x / (x.square().mean(-1, keepdim=True) + params["norm_eps"]).sqrt() * tensors[f"{name}.weight"]

    def rotated(x):  # neighbours are the real and the imaginary part
        return (
            torch.view_as_real(torch.view_as_complex(x.double().unflatten(-1, (-1, 2))) * turn)
            .flatten(-2)
            .float()
        )

    def network(x, name):
        gate, up = (x @ tensors[f"{name}.{w}.weight"].T for w in ("w1", "w3"))
        return (torch.nn.functional.silu(gate) * up) @ tensors[f"{name}.w2.weight"].T

    def feed_forward(x, name):
        if "moe" not in params:
            return network(x, name)
        weights, chosen = torch.topk(
            x @ tensors[f"{name}.gate.weight"].T, params["moe"]["num_experts_per_tok"]
        )
        weights = weights.softmax(-1)
        outputs = torch.stack(
            [network(x, f"{name}.experts.{e}") for e in range(params["moe"]["num_experts"])], 1
        )
        return (outputs.gather(1, chosen[..., None].expand(-1, -1, x.shape[1])) * weights[..., None]).sum(1)

    x = tensors["tok_embeddings.weight"][token_ids]
    for layer in range(params["n_layers"]):
        name = f"layers.{layer}"
        normed = norm(x, f"{name}.attention_norm")
        q, k, v = (
            (normed @ tensors[f"{name}.attention.{w}.weight"].T).unflatten(-1, (-1, hd))
            for w in ("wq", "wk", "wv")
        )
        k, v = (
            each.repeat_interleave(params["n_heads"] // params["n_kv_heads"], 1) for each in (rotated(k), v)
        )
        scores = torch.einsum("thd,shd->hts", rotated(q), k) / hd**0.5
        weights = scores.masked_fill(~visible, -torch.inf).softmax(-1)
        attended = torch.einsum("hts,shd->thd", weights, v).flatten(1)
        x = x + attended @ tensors[f"{name}.attention.wo.weight"].T
        x = x + feed_forward(norm(x, f"{name}.ffn_norm"), f"{name}.feed_forward")
    return norm(x, "norm") @ tensors["output.weight"].T

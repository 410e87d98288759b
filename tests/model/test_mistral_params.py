import json

import pytest
from transformers import MistralConfig

from model.config import ModelConfig
from model.mistral_params import config_of_params

MIXTRAL_8X22B = {
    "dim": 6144,
    "n_layers": 56,
    "head_dim": 128,
    "hidden_dim": 16384,
    "n_heads": 48,
    "n_kv_heads": 8,
    "rope_theta": 1000000,
    "norm_eps": 1e-05,
    "vocab_size": 32768,
    "max_seq_len": 65536,
    "moe": {"num_experts_per_tok": 2, "num_experts": 8},
}
MISTRAL_7B = {
    "dim": 4096,
    "n_layers": 32,
    "head_dim": 128,
    "hidden_dim": 14336,
    "n_heads": 32,
    "n_kv_heads": 8,
    "norm_eps": 1e-05,
    "sliding_window": 4096,
    "vocab_size": 32000,
}


def read(params):
    return ModelConfig.from_dict(config_of_params(params, "params.json"))


def test_mixtral_8x22b():
    config = read(MIXTRAL_8X22B)
    assert (config.dim, config.ffn_dim, config.num_layers) == (6144, 16384, 56)
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (48, 8, 128)
    assert (config.num_experts, config.num_experts_per_tok) == (8, 2)
    assert (config.norm_eps, config.rope.theta, config.sliding_window) == (1e-5, 1e6, None)
    assert (config.vocab_size, config.max_positions, config.eos_token_ids) == (32768, 65536, (2,))
    assert (config.dtype, config.tie_embeddings) == ("bfloat16", False)


def test_the_first_mistral_7b():
    """Its file says neither theta nor context; with a window, theta is 10,000."""
    config = read(MISTRAL_7B)
    assert (config.num_experts, config.sliding_window) == (0, 4096)
    assert (config.rope.theta, config.max_positions) == (1e4, 32768)
    del (later := dict(MISTRAL_7B))["sliding_window"]
    assert read(later).rope.theta == 1e6


def test_as_many_heads_of_keys_as_of_queries_where_nothing_is_said():
    """Transformers would take 8 of a config.json that says nothing."""
    del (params := dict(MISTRAL_7B))["n_kv_heads"]
    assert MistralConfig(**config_of_params(params, "params.json")).num_key_value_heads == 32
    assert read(params).num_kv_heads == 32


@pytest.mark.parametrize("window", [{"sliding_window": "4096"}, {"_sliding_window": 4096}], ids=str)
def test_other_spellings_of_a_window(window):
    del (params := dict(MISTRAL_7B))["sliding_window"]
    assert read(params | window).sliding_window == 4096


def test_switches_that_change_nothing():
    harmless = {"use_biases": False, "causal": True, "quantization": None, "model_type": "transformer"}
    assert read(MISTRAL_7B | harmless) == read(MISTRAL_7B)
    assert read(MISTRAL_7B | {"tied_embeddings": True}).tie_embeddings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision_encoder": {"hidden_size": 1}}, "vision_encoder: a model with these is none that is run"),
        ({"q_lora_rank": 8}, "q_lora_rank"),
        ({"use_biases": True}, "use_biases"),
        ({"causal": False}, "causal"),
        ({"yarn": {"beta": 1}}, "yarn"),
        ({"model_type": "mamba"}, "model_type must be transformer, got 'mamba'"),
        ({"sliding_window": [4096, None]}, "sliding_window must be one number for all layers, got list"),
        ({"sliding_window": "many"}, "sliding_window must be one number for all layers, got 'many'"),
        ({"moe": [8]}, "moe must be an object, got list"),
        ({"moe": {"num_experts": 8}}, "moe.num_experts_per_tok is missing"),
        ({"moe": {"num_experts": 8, "num_experts_per_tok": 2, "num_shared": 1}}, "moe.num_shared"),
    ],
    ids=str,
)
def test_other_models_are_refused_by_what_they_have(changes, message):
    with pytest.raises(ValueError, match=rf"^params\.json: .*{message}"):
        read(MISTRAL_7B | changes)


@pytest.mark.parametrize("key", ["dim", "n_layers", "hidden_dim", "n_heads", "norm_eps", "vocab_size"])
def test_a_missing_key_is_named_as_the_file_names_it(key):
    del (params := dict(MIXTRAL_8X22B))[key]
    with pytest.raises(ValueError, match=rf"^params\.json: {key} is missing"):
        read(params)


def test_errors_name_the_file(tmp_path):
    (tmp_path / "params.json").write_text(json.dumps(MISTRAL_7B | {"dim": -1}))
    with pytest.raises(
        ValueError, match=r"params\.json, as config\.json has it: hidden_size must be a positive"
    ):
        ModelConfig.from_folder(tmp_path)

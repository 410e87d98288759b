import json

import pytest

from model.config import ModelConfig
from model.rope import Rope

MIXTRAL_8X7B = {
    "model_type": "mixtral",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e6,
    "sliding_window": None,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "hidden_act": "silu",
    "eos_token_id": 2,
}


def read(**changes):
    return ModelConfig.from_dict(MIXTRAL_8X7B | changes)


def test_mixtral_8x7b():
    assert read() == ModelConfig(
        vocab_size=32000,
        dim=4096,
        ffn_dim=14336,
        num_layers=32,
        num_heads=32,
        num_kv_heads=8,
        head_dim=128,
        num_experts=8,
        num_experts_per_tok=2,
        norm_eps=1e-5,
        rope=Rope(1e6, original=32768),
        sliding_window=None,
        max_positions=32768,
        tie_embeddings=False,
        dtype="bfloat16",
        eos_token_ids=(2,),
    )


def test_dense_mistral_has_no_experts():
    data = {key: value for key, value in MIXTRAL_8X7B.items() if "expert" not in key}
    config = ModelConfig.from_dict(data | {"model_type": "mistral", "sliding_window": 4096})
    assert (config.num_experts, config.num_experts_per_tok, config.sliding_window) == (0, 0, 4096)


def test_a_window_must_be_said_of_a_dense_mistral_and_be_that_of_all_layers():
    dense = {key: value for key, value in MIXTRAL_8X7B.items() if "expert" not in key} | {
        "model_type": "mistral"
    }
    del dense["sliding_window"]
    with pytest.raises(ValueError, match="sliding_window is missing, and programs differ"):
        ModelConfig.from_dict(dense)
    of_all = {"sliding_window": 8, "layer_types": ["sliding_attention"] * 2}
    assert ModelConfig.from_dict(dense | of_all).sliding_window == 8
    for kinds in (["full_attention", "sliding_attention"], ["full_attention"]):
        with pytest.raises(ValueError, match="layer_types differ from sliding_window"):
            ModelConfig.from_dict(dense | of_all | {"layer_types": kinds})


@pytest.mark.parametrize(
    ("changes", "theta"),
    [
        ({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}, 5e5),
        ({"rope_parameters": {"rope_theta": 5e5}}, 5e5),
        ({"rope_parameters": {"rope_type": "default"}}, 1e6),
        ({"rope_parameters": None}, 1e6),
        ({"rope_scaling": None}, 1e6),
        ({"rope_theta": 10000}, 1e4),
    ],
    ids=str,
)
def test_rope_parameters_win_over_rope_theta(changes, theta):
    assert read(**changes).rope.theta == theta


def test_a_stretched_rope_lengthens_the_context():
    def context(**rope):
        return read(max_position_embeddings=100, rope_scaling=rope).max_positions

    assert context(type="linear", factor=2.5) == 250
    assert context(rope_type="dynamic", factor=2.0) == 200
    assert context(rope_type="yarn", factor=4.0, original_max_position_embeddings=25) == 100
    assert context(rope_type="yarn", factor=4.0, original_max_position_embeddings=50) == 200
    assert context(rope_type="yarn", factor=4.0, original_max_position_embeddings=10) == 100
    assert context(rope_type="yarn", factor=4.0) == 400


def test_a_dynamic_rope_needs_more_than_one_pair():
    with pytest.raises(ValueError, match="head_dim must be more than 2 where rope_type is dynamic"):
        read(head_dim=2, rope_scaling={"type": "dynamic", "factor": 2.0})


def test_head_dim_is_derived_only_where_there_is_none():
    assert read(head_dim=None).head_dim == 128
    assert read(head_dim=96).head_dim == 96


def test_dtype_under_its_older_name_too():
    assert read(torch_dtype=None, dtype="float16").dtype == "float16"
    assert read(torch_dtype=None).dtype == "float32"


OPTIONAL = {
    "num_key_value_heads",
    "sliding_window",
    "tie_word_embeddings",
    "torch_dtype",
    "hidden_act",
    "eos_token_id",
}


@pytest.mark.parametrize("key", [key for key in MIXTRAL_8X7B if key not in OPTIONAL])
def test_a_missing_key_is_named(key):
    data = {name: value for name, value in MIXTRAL_8X7B.items() if name != key}
    with pytest.raises(ValueError, match=key):
        ModelConfig.from_dict(data)


@pytest.mark.parametrize("value", ["many", [], 0, -8, 2.5])
@pytest.mark.parametrize("key", ["hidden_size", "num_attention_heads", "num_local_experts", "sliding_window"])
def test_sizes_that_are_no_sizes_are_refused(key, value):
    with pytest.raises(ValueError, match=rf"^config\.json: {key} must be a positive"):
        read(**{key: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llama"}, "model_type must be mixtral or mistral, got 'llama'"),
        ({"hidden_act": "gelu"}, "hidden_act must be silu, got 'gelu'"),
        ({"num_experts_per_tok": 9}, "num_experts_per_tok"),
        ({"num_key_value_heads": 5}, "num_key_value_heads"),
    ],
    ids=str,
)
def test_unsupported_models_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        read(**changes)


@pytest.mark.parametrize(
    ("in_config", "in_generation", "ids"),
    [
        (2, None, (2,)),
        ([32000, 2], None, (2, 32000)),
        (2, [32000, 2], (2, 32000)),
        (32000, 2, (2, 32000)),
        (None, None, ()),
        (None, 0, (0,)),
    ],
)
def test_eos_ids_are_the_union_of_both_files(in_config, in_generation, ids, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(MIXTRAL_8X7B | {"eos_token_id": in_config}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": in_generation}))
    assert ModelConfig.from_folder(tmp_path).eos_token_ids == ids


def test_generation_config_is_optional(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(MIXTRAL_8X7B))
    assert ModelConfig.from_folder(tmp_path).eos_token_ids == (2,)


def test_a_folder_without_config(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        ModelConfig.from_folder(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\x00", "[" * 100_000], ids=lambda text: text[:5])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_files_that_hold_no_object(name, text, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(MIXTRAL_8X7B))
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        ModelConfig.from_folder(tmp_path)

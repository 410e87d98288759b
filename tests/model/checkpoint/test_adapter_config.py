import json
import math

import pytest

from model.checkpoint.adapter_config import AdapterConfig

PLAIN = {"peft_type": "LORA", "r": 8, "lora_alpha": 16}
# As PEFT 0.21 writes it.
WHOLE = PLAIN | {
    "alora_invocation_tokens": None, "alpha_pattern": {}, "arrow_config": None, "auto_mapping": None,
    "base_model_name_or_path": "mistralai/Mixtral-8x7B-v0.1", "bias": "none", "corda_config": None,
    "ensure_weight_tying": False, "eva_config": None, "exclude_modules": None, "fan_in_fan_out": False,
    "inference_mode": True, "init_lora_weights": True, "layer_replication": None, "layers_pattern": None,
    "layers_to_transform": None, "loftq_config": {}, "lora_bias": False, "lora_dropout": 0.05,
    "megatron_config": None, "megatron_core": "megatron.core", "modules_to_save": ["lm_head"],
    "peft_version": "0.21.2", "qalora_group_size": 16, "rank_pattern": {}, "revision": None,
    "target_modules": ["q_proj", "v_proj"], "target_parameters": None, "task_type": "CAUSAL_LM",
    "trainable_token_indices": None, "use_bdlora": None, "use_dora": False, "use_qalora": False,
    "use_rslora": False,
}  # fmt: skip


@pytest.fixture
def read(tmp_path):
    def read(data):
        (tmp_path / "adapter_config.json").write_text(json.dumps(data))
        return AdapterConfig.from_folder(tmp_path)

    return read


def test_scaling(read):
    assert read(WHOLE).scaling_of("model.layers.0.self_attn.q_proj") == 2.0
    stabilised = read(PLAIN | {"use_rslora": True})
    assert stabilised.scaling_of("model.layers.0.self_attn.q_proj") == pytest.approx(16 / math.sqrt(8))


def test_patterns_match_the_end_of_a_module_s_name_and_the_first_one_counts(read):
    config = read(
        PLAIN
        | {
            "rank_pattern": {"v_proj": 4, r"layers\.1\..*_proj": 2, ".*_proj": 1},
            "alpha_pattern": {"model.layers.1.self_attn.q_proj": 5},
        }
    )
    names = ["model.layers.0.self_attn.v_proj", "model.layers.1.self_attn.q_proj", "model.layers.0.mlp.gate"]
    assert [*map(config.rank_of, names)] == [4, 2, 8]
    assert [*map(config.scaling_of, names)] == [4.0, 2.5, 2.0]
    assert config.rank_of("lm_head", "lm_head.v_proj") == 4, "any of a module's names may match"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type must be LORA, got 'IA3'"),
        ({"use_dora": True}, "use_dora is set: DoRA; it is not merged"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens is set: activated LoRA"),
        ({"trainable_token_indices": [5]}, "trainable_token_indices is set: token embeddings of their own"),
        ({"layer_replication": [[0, 2]]}, "layer_replication is set: layers that are repeated"),
        ({"lora_bias": True}, "lora_bias is set: biases"),
        ({"use_qalora": True}, "use_qalora is set: QALoRA"),
        ({"use_of_2027": {"a": 1}}, "use_of_2027 is set: a variant that is not known here"),
        ({"bias": "all"}, "bias must be none, got 'all'"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights 'pissa_niter_4' changes the base, too"),
        ({"init_lora_weights": "loftq"}, "init_lora_weights 'loftq' changes the base, too"),
        ({"r": 0}, "r must be a positive integer"),
        ({"r": "8"}, "r must be a positive integer"),
        ({"lora_alpha": None}, "lora_alpha must be a positive number, got None"),
        ({"rank_pattern": {"q_proj": -1}}, "rank_pattern.q_proj must be a positive integer"),
        ({"rank_pattern": [1]}, "rank_pattern must be an object, got list"),
        ({"alpha_pattern": {"(": 1}}, r"alpha_pattern: '\(' is no pattern"),
        ({"alpha_pattern": {"a" * 300: 1}}, r"alpha_pattern: 'a+' repeats too much or is too long"),
        ({"alpha_pattern": {"(.*)*!": 1}}, "alpha_pattern: .* repeats too much"),
        ({"alpha_pattern": {".*.*.*.*!": 1}}, "alpha_pattern: .* repeats too much"),
        ({"use_rslora": 1}, "use_rslora must be true or false, got 1"),
    ],
    ids=str,
)
def test_what_can_not_be_merged_is_refused_by_name(changes, message, read):
    with pytest.raises(ValueError, match=rf"adapter_config\.json: {message}"):
        read(WHOLE | changes)


def test_a_folder_without_an_adapter(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no adapter_config\.json; give the folder of a PEFT adapter"
    ):
        AdapterConfig.from_folder(tmp_path)

"""Heads by the names of their weights, with and without the prefix of base models, and what is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.checkpoint.head_weights import known_name
from model.checkpoint.load import check_checkpoint, load_transformer
from model.scheduling.batch import left_pad
from model.trained_head import HeadKind
from tests.model.checkpoint.refusal import PROMPT, refused

WEIGHTS = "model.safetensors"
KINDS = {
    "classes": HeadKind.SEQUENCE, "tokens": HeadKind.TOKEN, "spans": HeadKind.SPAN, "base": HeadKind.NONE
}  # fmt: skip


@pytest.fixture
def copied(headed, tmp_path):
    """A copy of a headed checkpoint with another config.json and other tensors."""

    def copy(variant, head, change=lambda tensors: tensors, **config):
        folder = shutil.copytree(headed(variant, head).folder, tmp_path / "checkpoint", dirs_exist_ok=True)
        data = json.loads((folder / "config.json").read_text()) | config
        (folder / "config.json").write_text(json.dumps(data))
        save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)
        return folder

    return copy


def without_prefix(tensors):
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items()}


def with_prefix(tensors):
    return {known_name(name): tensor for name, tensor in tensors.items()}


def outputs(folder):
    return load_transformer(folder, torch.float32)(*left_pad([PROMPT]))[0]


@pytest.mark.parametrize("renamed", [without_prefix, with_prefix])
@pytest.mark.parametrize("head", KINDS)
def test_names_with_and_without_the_prefix_are_one(head, renamed, copied, headed):
    ours, theirs = outputs(copied("mixtral", head, renamed)), headed("mixtral", head).outputs(PROMPT)
    torch.testing.assert_close(ours[-1] if theirs.dim() == 1 else ours, theirs, atol=1e-4, rtol=0)


def test_transformers_writes_base_models_without_the_prefix(headed):
    names = load_file(headed("dense", "base").folder / WEIGHTS).keys()
    assert "layers.0.self_attn.q_proj.weight" in names


@pytest.mark.parametrize("head", KINDS)
def test_where_config_json_names_no_head_the_weights_tell_it(head, copied):
    config = check_checkpoint(copied("dense", head, architectures=None))
    assert (config.trained.kind, config.trained.stated) == (KINDS[head], True)
    assert config.trained.outputs == {"classes": 5, "tokens": 7, "spans": 2, "base": 0}[head]


def test_a_base_model_that_is_tied_or_stored_with_its_language_head_gives_text(checkpoint, copied, tmp_path):
    assert check_checkpoint(
        copied("dense", "base", architectures=None, tie_word_embeddings=True)
    ).trained.kind is (HeadKind.LANGUAGE)
    folder = shutil.copytree(checkpoint("mixtral"), tmp_path / "language")
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(data | {"architectures": ["MixtralModel"]}))
    assert check_checkpoint(folder).trained.kind is HeadKind.LANGUAGE


def test_a_language_head_beside_another_is_passed_over(copied):
    def add(tensors):
        return tensors | {"lm_head.weight": torch.zeros(97, 32)}

    assert check_checkpoint(copied("dense", "classes", add)).trained.kind is HeadKind.SEQUENCE


@pytest.mark.parametrize(
    ("head", "config", "change", "message"),
    [
        (
            "classes",
            {"architectures": ["MistralForCausalLM"]},
            {},
            "score.weight: this is the head of a sequence",
        ),
        (
            "tokens",
            {"architectures": ["MistralForCausalLM"]},
            {},
            "score.weight: this is the head of a token cla",
        ),
        (
            "spans",
            {"architectures": ["MistralForCausalLM"]},
            {},
            "qa_outputs.weight: this is the head of a quest",
        ),
        ("base", {"architectures": ["MistralForCausalLM"]}, {}, "missing lm_head.weight$"),
        ("base", {"architectures": ["MistralForSequenceClassification"]}, {}, "missing score.weight$"),
        ("classes", {}, {"score.weight": None}, "missing score.weight$"),
        (
            "classes",
            {},
            {"score.weight": torch.zeros(4, 32)},
            r"score.weight: the configuration says shape \(5, 32\)",
        ),
        (
            "classes",
            {"id2label": {"0": "a", "5": "b"}},
            {},
            "id2label must name the labels of the ids 0, 1, 2",
        ),
        ("classes", {}, {"score.bias": torch.zeros(5)}, "unexpected score.bias$"),
        ("tokens", {}, {"score.bias": None}, "missing score.bias$"),
        ("tokens", {"token_classification_bias": False}, {}, "unexpected score.bias$"),
        (
            "spans",
            {},
            {"qa_outputs.bias": torch.zeros(3)},
            r"qa_outputs.bias: the configuration says shape \(2,\)",
        ),
        ("spans", {}, {"qa_outputs.weight": torch.zeros(2, 32, dtype=torch.int8)}, "must be stored as F32"),
        ("classes", {"architectures": ["MistralModel"]}, {}, "unexpected score.weight$"),
        (
            "base",
            {},
            {"model.norm.weight": torch.zeros(32)},
            "norm.weight: stands beside (model.)?norm.weight, so neither",
        ),
    ],
)
def test_damaged_and_missing_heads_are_refused_before_weights_are_read(head, config, change, message, copied):
    def damage(tensors):
        changed = tensors | {name: tensor for name, tensor in change.items() if tensor is not None}
        return {name: tensor for name, tensor in changed.items() if change.get(name, tensor) is not None}

    refused(copied("dense", head, damage, **config), ValueError, message)

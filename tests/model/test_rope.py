import copy

import pytest
from transformers import MistralConfig, MixtralConfig

from model.rope import Rope, rope_of


def read(**data):
    return rope_of({"rope_theta": 1e4} | data, 4096, "config.json")


DEFAULT = {"rope_type": "default", "rope_theta": 5e5}
LINEAR = {"rope_type": "linear", "rope_theta": 7e5, "factor": 2.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
ROPES = [
    {"rope_parameters": DEFAULT, "rope_scaling": None},
    {"rope_parameters": DEFAULT, "rope_scaling": {}},
    {"rope_parameters": DEFAULT, "rope_scaling": {"type": "linear", "factor": 2.0}},
    {"rope_parameters": DEFAULT, "rope_scaling": LINEAR},
    {"rope_parameters": DEFAULT, "rope_scaling": {"type": "default"}},
    {"rope_parameters": DEFAULT, "rope_scaling": {"rope_type": "default", "rope_theta": 3e4}},
    {"rope_parameters": LINEAR, "rope_scaling": {"type": "default"}},
    {"rope_parameters": LINEAR, "rope_scaling": None},
    {"rope_parameters": {"rope_type": "default", "type": "linear", "factor": 2.0}},
    {"rope_parameters": {"rope_type": "linear", "type": "default", "factor": 2.0}},
    {"rope_parameters": {"rope_theta": 3e4}},
    {"rope_parameters": {}},
    {"rope_scaling": {"factor": 2.0}},
    {"rope_scaling": {"type": "dynamic", "factor": 8}},
    {"rope_parameters": YARN},
    {"rope_scaling": {"type": "yarn", "factor": 4.0}},
    {"rope_scaling": {"type": "yarn", "factor": 4.0}, "original_max_position_embeddings": 512},
    {"rope_scaling": YARN, "original_max_position_embeddings": 512},
]


@pytest.mark.parametrize("kind", [MixtralConfig, MistralConfig], ids=lambda kind: kind.model_type)
def test_a_rope_is_read_as_transformers_reads_it(kind):
    """In both styles, with both names of the kind, whichever of them stands beside another."""
    seen = set()
    for changes in ROPES:
        config = kind(rope_theta=1e4, max_position_embeddings=4096, **copy.deepcopy(changes))
        config.standardize_rope_params()  # as it does itself before it computes
        theirs, ours = config.rope_parameters, read(**changes)
        seen.add(ours.kind)
        assert (ours.kind, ours.theta) == (theirs["rope_type"], theirs["rope_theta"]), changes
        if ours.kind != "default":
            assert ours.factor == theirs["factor"], changes
        assert ours.original == theirs.get("original_max_position_embeddings", 4096), changes
    assert seen == {"default", "linear", "dynamic", "yarn"}


@pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
@pytest.mark.parametrize("kind", ["llama3", "longrope", "su", "mrope", ["yarn"], None])
def test_other_kinds_are_refused_by_name(key, kind):
    """`type` is the older name."""
    for name in ("type", "rope_type"):
        message = rf"config\.json: {key}: rope_type must be one of default, linear, dynamic, yarn, got "
        with pytest.raises(ValueError, match=message + ("list" if kind == ["yarn"] else repr(kind))):
            read(**{key: {name: kind, "factor": 2.0}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factor": None}, "factor must be a positive number, got None"),
        ({"factor": "4"}, "factor must be a positive number, got '4'"),
        ({"factor": float("nan")}, "factor must be a positive number"),
        ({"factor": 0.5}, "factor must be at least 1, got 0.5"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor must be 1, got 0.5"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["linear", "dynamic"])
def test_what_a_stretched_rope_must_say(kind, changes, message):
    with pytest.raises(ValueError, match=rf"config\.json: rope_scaling: {message}"):
        read(rope_scaling={"type": kind, "factor": 2.0} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"original_max_position_embeddings": 0}, "original_max_position_embeddings must be a positive int"),
        ({"attention_factor": -1.0}, "attention_factor must be a positive number"),
        ({"beta_fast": "many"}, "beta_fast must be a positive number"),
        ({"beta_slow": 1e-320}, "beta_fast and beta_slow must be at least"),
        ({"truncate": 1}, "truncate must be true or false, got 1"),
        ({"rope_theta": 1}, "rope_theta must not be 1 with yarn"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor must be 1, got 0.5"),
    ],
    ids=str,
)
def test_what_yarn_must_say(changes, message):
    with pytest.raises(ValueError, match=rf"config\.json: rope_parameters: {message}"):
        read(rope_parameters=YARN | changes)


def test_yarn_without_a_factor_takes_the_ratio_of_both_contexts():
    assert read(rope_parameters=YARN | {"factor": None}).factor == 4.0
    with pytest.raises(ValueError, match="factor must be a positive number, got None"):
        read(rope_parameters={key: value for key, value in YARN.items() if key != "factor"})


def test_how_far_a_rope_reaches():
    assert Rope(1e4, original=100).context == 100
    assert Rope(1e4, "linear", 100, 2.5).context == 250
    assert Rope(1e4, "yarn", 1 << 30, 1e20).context == 1 << 31

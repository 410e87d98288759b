"""The angles of every kind of rope, and whole models that have it, as transformers computes them."""

import copy

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM
from transformers.models.mixtral.modeling_mixtral import MixtralRotaryEmbedding

from model.checkpoint.load import load_transformer
from model.engine import Engine
from model.network.rope import RoPE
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.rope import Rope, rope_of
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import left_pad
from tests.model.conftest import EXPERTS, SIZES

LINEAR = {"type": "linear", "factor": 2.5}
DYNAMIC = {"type": "dynamic", "factor": 3.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 1e4}
ROPES = {
    "default": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    "linear": {"rope_scaling": LINEAR, "rope_theta": 1e4},
    "dynamic": {"rope_scaling": DYNAMIC, "rope_theta": 1e4},
    "yarn": {"rope_parameters": YARN},
    "yarn of two contexts": {"rope_parameters": YARN | {"factor": None}},
    "yarn that says its magnitude": {"rope_parameters": YARN | {"attention_factor": 1.3}},
    "yarn as DeepSeek has it": {"rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 0.7}},
    "yarn with other turns": {"rope_parameters": YARN | {"beta_fast": 8, "beta_slow": 2, "truncate": False}},
    "yarn with one step": {"rope_parameters": YARN | {"beta_fast": 1e3, "beta_slow": 1e3}},
    "yarn that says its origin elsewhere": {
        "rope_scaling": {"type": "yarn", "factor": 4.0},
        "rope_theta": 1e4,
        "original_max_position_embeddings": 64,
    },
    "yarn of an unknown origin": {"rope_scaling": {"type": "yarn", "factor": 2.0}, "rope_theta": 1e4},
}


def test_both_halves_of_a_head_turn_by_the_same_angles():
    cos, sin = RoPE(8, Rope(1e4))(torch.tensor([3]), torch.float32)
    angles = 3 * 1e4 ** (-torch.arange(0, 8, 2) / 8)
    torch.testing.assert_close(cos[0, 0], torch.cat((angles.cos(), angles.cos())))
    torch.testing.assert_close(sin[0, 0], torch.cat((-angles.sin(), angles.sin())))


@pytest.mark.parametrize("length", [5, 128, 129, 200, 384])
@pytest.mark.parametrize("name", ROPES)
def test_angles_are_those_of_transformers(name, length):
    data = {"head_dim": 16, "max_position_embeddings": 128, **ROPES[name]}
    theirs = MixtralRotaryEmbedding(MixtralConfig(**copy.deepcopy(data)))
    positions = torch.arange(length)
    cos, sin = theirs(torch.zeros(1), positions[None])
    ours = RoPE(16, rope_of(data, 128, "config.json"))
    lengths = torch.full_like(positions, length) if ours.rope.depends_on_length else None
    own_cos, own_sin = ours(positions, torch.float32, lengths)
    torch.testing.assert_close(own_cos[:, 0], cos[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(own_sin[:, 0, 8:], sin[0, :, 8:], atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A kind of rope -> a checkpoint with an original context of 24, and transformers' model of it.

    A new one for each row: transformers' dynamic rope remembers the longest row it has seen.
    """
    known = {}

    def model_of(name, dense=False):
        if (name, dense) not in known:
            sizes = SIZES | {"head_dim": 8, "max_position_embeddings": 24}
            del sizes["rope_parameters"]
            changes = copy.deepcopy(ROPES[name])
            torch.manual_seed(0)
            if dense:
                model = MistralForCausalLM(MistralConfig(**sizes, **changes))
            else:
                model = MixtralForCausalLM(MixtralConfig(**sizes, **EXPERTS, **changes))
            folder = tmp_path_factory.mktemp("rope")
            model.eval().save_pretrained(folder)
            known[name, dense] = folder, model
        folder, model = known[name, dense]
        return folder, copy.deepcopy(model)

    return model_of


def drawn(length):
    generator = torch.Generator().manual_seed(length)
    return torch.randint(0, SIZES["vocab_size"], (length,), generator=generator).tolist()


@torch.inference_mode()
def logits(model, row):
    return model(torch.tensor([row])).logits[0]


@pytest.mark.parametrize("dense", [False, True], ids=["mixtral", "mistral"])
@pytest.mark.parametrize("name", ["linear", "dynamic", "yarn"])
def test_logits_within_and_beyond_the_original_context(name, dense, models):
    """Rows of several lengths in one batch: each as if it had been computed alone."""
    rows = [drawn(7), drawn(24), drawn(40), drawn(57)]
    folder, _ = models(name, dense)
    tokens, mask = left_pad(rows)
    ours = load_transformer(folder, torch.float32)(tokens, mask)
    for row, own in zip(rows, ours, strict=True):
        expected = logits(models(name, dense)[1], row)
        torch.testing.assert_close(own[-len(row) :], expected, atol=2e-4, rtol=0)


def test_the_kinds_differ(models):
    """Else the tests above would show nothing."""
    row = drawn(57)
    seen = [logits(models(name)[1], row) for name in ("linear", "dynamic", "yarn")]
    assert min((one - other).abs().max() for one in seen for other in seen if one is not other) > 0.05


@pytest.mark.parametrize("name", ["linear", "yarn"])
def test_answers_beyond_the_original_context(name, models):
    folder, model = models(name)
    engine = Engine.load(folder, threads=1)
    prompts = [drawn(9), drawn(30)]
    answers = engine.generate(prompts, SamplingParams(max_new_tokens=20))
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)
        assert answer.token_ids == theirs[0, len(prompt) :].tolist()
    engine.close()


def greedy(model_of, prompt, tokens):
    """Every token from a pass over as many positions as the row may take, whose last ones nothing sees."""
    row = [*prompt]
    room = len(prompt) + tokens - 1
    for _ in range(tokens):
        whole = row + [0] * (room - len(row))
        row.append(int(logits(model_of("dynamic")[1], whole)[len(row) - 1].argmax()))
    return row[len(prompt) :]


def test_a_dynamic_row_turns_by_its_own_length_whatever_else_runs(models):
    """Prompts that begin alike, short and long ones, in one engine."""
    folder, _ = models("dynamic")
    long = drawn(40)
    prompts = [long[:6], long[:20], long, [*long[:38], 1, 2, 3]]
    engine = Engine.load(folder, threads=1)
    answers = [answer.token_ids for answer in engine.generate(prompts, SamplingParams(max_new_tokens=12))]
    assert answers == [greedy(models, prompt, 12) for prompt in prompts]
    alone = [engine.generate([prompt], SamplingParams(max_new_tokens=12))[0].token_ids for prompt in prompts]
    assert answers == alone
    engine.close()


def test_choices_behind_a_dynamic_row(models, monkeypatch):
    """Of a row whose choices take several passes, each turns by the length of the whole row."""
    folder, _ = models("dynamic")
    prompt, choices = drawn(30), [[4], [5, 6, 7], [5, 6, 8, 9, 11]]
    engine = Engine.load(folder, threads=1)
    [whole] = engine.score([prompt], choices)
    table = logits(models("dynamic")[1], [*prompt, 5, 6, 8, 9]).log_softmax(-1)
    steps = [table[len(prompt) - 1 + i, token] for i, token in enumerate(choices[2])]
    assert whole.answer[2] == pytest.approx(float(sum(steps)), abs=1e-4)
    monkeypatch.setattr("model.requests.choice_scores.MOST_NODES", 2)
    assert len(ChoiceScores.of(choices).parts) > 1
    [divided] = engine.run([Request("row", prompt, readout=ChoiceScores.of(choices))])
    assert divided.answer == pytest.approx(whole.answer, abs=1e-5)
    engine.close()

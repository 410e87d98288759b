"""Tensor parallelism with real processes: sharded equals unsharded."""

import numpy as np
import pytest
import torch

from model.checkpoint.load import load_transformer
from model.engine import Engine
from model.network.tensor_parallel import TensorParallel
from model.requests.choice_scores import ChoiceScores
from model.requests.question_scores import Branch, QuestionScores
from model.requests.readout import Head
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import Batch, Phase, Row

# Four ranks share two KV heads, and two share one; no number of ranks divides the vocabulary of 97.
SHARDED = [("mixtral", 4), ("tied-one-kv-head", 2), ("dense-window", 2)]
NEW_TOKENS = 8
EXACT = ["tokens", "computed", "chosen", "pairs", "next_pairs", "repeat_first", "repeat_any"]


@pytest.fixture(scope="module", params=SHARDED, ids=lambda param: f"{param[0]} on {param[1]}")
def sharded(request, checkpoint):
    """A variant's name and its engine on several ranks."""
    variant, size = request.param
    engine = Engine.load(checkpoint(variant), tensor_parallel=size, threads=1, max_batch_rows=3)
    assert len(set(engine.ranks.process_ids)) == size
    yield variant, engine
    engine.close()


def test_logits_equal_unsharded(sharded, oracle, prompts):
    variant, engine = sharded
    rows = [Row(Phase.PREFILL, slot % 3, 0, prompt) for slot, prompt in enumerate(prompts)]
    logits = engine.ranks.forward(Batch.of(rows))[Head.VOCABULARY]
    expected = torch.stack([oracle(variant).logits(prompt)[-1] for prompt in prompts])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    if engine.ranks.local.routing:
        engine.ranks.local.routing.take([0, 1, 2])


def test_generations_and_counts_equal_unsharded(sharded, engine, oracle, prompts):
    variant, loaded = sharded
    params = SamplingParams(max_new_tokens=NEW_TOKENS)
    completions = loaded.generate(prompts, params)
    alone = engine(variant).generate(prompts, params)
    for prompt, one, other in zip(prompts, completions, alone, strict=True):
        assert one.token_ids == oracle(variant).generate(tuple(prompt), NEW_TOKENS)
        assert (one.routing is None) == (variant == "dense-window")
        for name in EXACT if one.routing else []:
            assert (getattr(one.routing, name) == getattr(other.routing, name)).all(), name


def test_scores_and_samples_equal_unsharded(sharded, engine, prompts):
    variant, loaded = sharded
    scores = ChoiceScores.of([[5, 6, 7], [5, 8], [9]])
    params = SamplingParams(max_new_tokens=NEW_TOKENS, temperature=0.8, top_p=0.9, logprobs=True)
    questions = QuestionScores([Branch((50, 51), ((5, 6), (7,))), Branch((50,), ((9,), (9, 8)))])
    requests = [
        Request(str(i), prompt, readout=(scores, questions)[i % 2])
        if i % 3
        else Request(str(i), prompt, params)
        for i, prompt in enumerate(prompts)
    ]
    for one, other in zip(loaded.run(requests), engine(variant).run(requests), strict=True):
        assert one.token_ids == other.token_ids
        ours, theirs = (np.concatenate([*map(np.atleast_1d, c.logprobs or c.answer)]) for c in (one, other))
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_each_rank_holds_its_part_of_the_weights(sharded, checkpoint):
    variant, engine = sharded
    size = len(engine.ranks.process_ids)
    model = load_transformer(checkpoint(variant), torch.float32, tp=TensorParallel(0, size))
    held = {name: p.numel() for name, p in model.named_parameters()}
    w2 = [n for name, n in held.items() if ".w2" in name]
    assert sum(w2) == 3 * 32 * 48 // size * (1 if variant == "dense-window" else 8)
    keys = engine.ranks.local.cache.keys[0]
    assert keys.shape[1] == max(1, {"tied-one-kv-head": 1}.get(variant, 2) // size)
    assert held["embedding.weight"] == -(-97 // size) * 32

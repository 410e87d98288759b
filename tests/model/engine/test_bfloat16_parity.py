"""In bfloat16 the engine is no farther from transformers' float32 than transformers' own bfloat16 is.

A router that rounds may choose another expert where two are nearly alike, and what follows is another row. So
numbers are compared where nobody's router has chosen otherwise yet, and how often one does is compared, too.
"""

from copy import deepcopy
from functools import cache

import pytest
import torch

from model.requests.choice_scores import normalised
from model.requests.readout import Head
from model.scheduling.batch import Batch, Phase, Row

DENSE = ["dense", "dense-window"]
MIXTURES = ["mixtral", "four-experts", "one-choice", "three-choices", "wide-heads", "one-kv-head", "tied"]
VARIANTS = [*MIXTURES, "window", *DENSE]
AS_FAR = 1.5  # times transformers' own distance
PAGES = 8  # of a row
WHOLE = 1000  # longer than every prompt


@pytest.fixture(scope="module")
def transformers_rows(oracle, prompts):
    """A variant's name and number type -> each prompt's logits [T, V] and chosen experts [T, L, K]."""

    @cache
    @torch.inference_mode()
    def run(variant, dtype):
        original = oracle(variant).model
        model = deepcopy(original).to(dtype)
        rows = []
        for prompt in prompts:
            asked = {} if variant in DENSE else {"output_router_logits": True}
            out = model(torch.tensor([prompt]), **asked)
            chosen = None
            if variant not in DENSE:
                likely = torch.stack(out.router_logits).softmax(-1, dtype=torch.float32)
                chosen = by_token(likely.topk(original.config.num_experts_per_tok, -1).indices)
            rows.append((out.logits[0].float(), chosen))
        return rows

    return run


@pytest.fixture(scope="module")
def our_rows(engine, prompts):
    """The same of the engine in bfloat16; `first`: tokens of a prompt before those that decode."""

    @cache
    def run(variant, first):
        loaded = engine(variant, dtype="bfloat16").ranks
        seen = []
        routing = loaded.local.routing
        observe = routing.observe if routing else None
        if routing:
            routing.observe = lambda layer, logits, choice, weights: (
                seen.append(choice),
                observe(layer, logits, choice, weights),
            )
        logits, chosen = [[] for _ in prompts], [[] for _ in prompts]
        try:
            for step in steps(prompts, first):
                seen.clear()
                out = loaded.forward(Batch.of(step))[Head.VOCABULARY]
                assert out.dtype is torch.float32
                sizes = [row.length for row in step]
                for row, of_row in zip(step, out.split(sizes), strict=True):
                    logits[row.slot].append(of_row)
                if routing:
                    for row, of_row in zip(step, by_token(torch.stack(seen)).split(sizes), strict=True):
                        chosen[row.slot].append(of_row)
        finally:
            if routing:
                routing.observe = observe
                routing.take([*range(len(prompts))])
        return [
            (torch.cat(numbers), torch.cat(choice) if choice else None)
            for numbers, choice in zip(logits, chosen, strict=True)
        ]

    return run


def steps(prompts, first):
    """The first tokens of all prompts, then one token of each at a time, whatever the engine would say."""
    pages = [[*range(slot * PAGES, (slot + 1) * PAGES)] for slot in range(len(prompts))]
    yield [
        Row(Phase.PREFILL, slot, 0, prompt[:first], pages[slot], read_from=0)
        for slot, prompt in enumerate(prompts)
    ]
    for at in range(first, max(map(len, prompts))):
        yield [
            Row(Phase.DECODE, slot, at, [prompt[at]], pages[slot])
            for slot, prompt in enumerate(prompts)
            if at < len(prompt)
        ]


def by_token(chosen):  # [L, T, K] -> [T, L, K], a token's experts in order of their numbers
    return chosen.sort(-1).values.transpose(0, 1)


def undisturbed(exact, *others):
    """How many tokens of a row went to the same experts in all of them, up to the first that did not."""
    logits, chosen = exact
    if chosen is None:
        return len(logits)
    alike = torch.stack([(chosen == other).flatten(1).all(1) for _, other in others]).all(0)
    return int(alike.long().cumprod(0).sum())


def distance(rows, exact, ends):
    differences = [
        (one[0][:end] - other[0][:end]).flatten() for one, other, end in zip(rows, exact, ends, strict=True)
    ]
    return float(torch.cat(differences).square().mean().sqrt())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("first", [WHOLE, 1], ids=["in one pass", "token by token"])
def test_logits_are_as_near_as_transformers_own(variant, first, transformers_rows, our_rows):
    exact = transformers_rows(variant, torch.float32)
    theirs, ours = transformers_rows(variant, torch.bfloat16), our_rows(variant, first)
    ends = [*map(undisturbed, exact, theirs, ours)]
    assert sum(ends) >= 20
    assert 0 < distance(ours, exact, ends) <= AS_FAR * distance(theirs, exact, ends)


def test_routers_choose_otherwise_no_more_often_than_transformers_own(transformers_rows, our_rows):
    lost = {"theirs": 0, "in one pass": 0, "token by token": 0}
    for variant in [*MIXTURES, "window"]:
        exact = transformers_rows(variant, torch.float32)
        rows = {
            "theirs": transformers_rows(variant, torch.bfloat16),
            "in one pass": our_rows(variant, WHOLE),
            "token by token": our_rows(variant, 1),
        }
        for name, of_name in rows.items():
            for one, other in zip(of_name, exact, strict=True):
                lost[name] += undisturbed(other, one) < len(other[0])
    assert lost["theirs"] > 10
    assert max(lost.values()) <= AS_FAR * lost["theirs"], lost


@pytest.mark.parametrize("variant", ["mixtral", "tied", "dense"])
def test_labels_are_as_near_as_transformers_own(variant, engine, prompts, transformers_rows, our_rows):
    choices = [*range(5, 10)]
    exact, theirs = (transformers_rows(variant, dtype) for dtype in (torch.float32, torch.bfloat16))
    ends = [*map(undisturbed, exact, theirs, our_rows(variant, WHOLE))]
    beginnings = [prompt[: i + 1] for prompt, end in zip(prompts, ends, strict=True) for i in range(end)]
    scored = engine(variant, dtype="bfloat16").score(beginnings, [[choice] for choice in choices])
    ours = torch.tensor([normalised(completion.answer) for completion in scored])
    exact, theirs = (
        torch.cat([logits[:end] for (logits, _), end in zip(rows, ends, strict=True)])[:, choices].softmax(-1)
        for rows in (exact, theirs)
    )
    our_distance, their_distance = (float((x - exact).abs().amax(1).mean()) for x in (ours, theirs))
    assert 0 < our_distance <= AS_FAR * their_distance

"""Readouts that no source file knows are read beside generating and scoring rows, and equal transformers."""

import numpy as np
import pytest
import torch
from torch import Tensor

from model.engine import Engine
from model.requests.choice_scores import ChoiceScores
from model.requests.readout import AskedTokens, Head, OnePassReadout
from model.requests.request import Request
from model.requests.token_tree import NO_TREE
from model.sampling.sampling_params import SamplingParams

NEW_TOKENS = 6
CHOICES = [[5, 6, 7], [5, 8], [9]]
VARIANTS = ["mixtral", "window", "dense"]


class Entropy(OnePassReadout):
    """How uncertain the model is of the next token, in nats."""

    def make_answer(self, outputs: Tensor) -> float:
        assert outputs.shape == (1, 97)
        return float(torch.distributions.Categorical(logits=outputs[0]).entropy())


class MeanPooled(OnePassReadout):
    """The mean of the hidden states of all prompt tokens but the first `skipped`."""

    head = Head.HIDDEN

    def __init__(self, skipped: int = 0) -> None:
        self.skipped = skipped

    def first_read(self, prompt_tokens: int) -> int:
        return min(self.skipped, prompt_tokens - 1)

    def make_answer(self, outputs: Tensor) -> list[float]:
        return outputs.mean(0).tolist()


class TreeLogits(OnePassReadout):
    """What follows the prompt's last two tokens and every node of a tree: more than the tree alone."""

    tree = ChoiceScores.of([[5, 6, 7], [5, 8], [30, 31]]).tree  # nodes 5, 5 6 and 30

    def first_read(self, prompt_tokens: int) -> int:
        return max(0, prompt_tokens - 2)

    def make_answer(self, outputs: Tensor) -> list[int]:
        return outputs.argmax(-1).tolist()


def check(request, completion, oracle):
    """A row of any kind against transformers' model, which sees it alone."""
    prompt, wanted = request.prompt_token_ids, request.readout
    assert completion.failure is None
    if wanted is None:
        assert completion.token_ids == oracle.generate(tuple(prompt), NEW_TOKENS)
        return
    assert (completion.token_ids, completion.logprobs, completion.finish_reason) == ([], None, None)
    if isinstance(wanted, Entropy):
        logprobs = oracle.logits(prompt)[-1].log_softmax(-1)
        assert completion.answer == pytest.approx(float(-(logprobs.exp() * logprobs).sum()), abs=1e-4)
    elif isinstance(wanted, MeanPooled):
        expected = hidden_states(oracle, prompt)[wanted.first_read(len(prompt)) :].mean(0)
        assert completion.answer == pytest.approx(expected.tolist(), abs=1e-4)
    elif isinstance(wanted, TreeLogits):
        texts = [*([prompt[:-1]] if len(prompt) > 1 else []), prompt]
        texts += [prompt + path for path in ([5], [5, 6], [30])]
        assert completion.answer == [int(oracle.logits(text)[-1].argmax()) for text in texts]
    else:
        for choice, score in zip(CHOICES, completion.answer, strict=True):
            logprobs = oracle.logits(prompt + choice)[len(prompt) - 1 : -1].log_softmax(-1)
            assert score == pytest.approx(float(logprobs[range(len(choice)), choice].sum()), abs=1e-3)


@torch.inference_mode()
def hidden_states(oracle, prompt):
    """[T, D] after the final norm."""
    return oracle.model(torch.tensor([prompt]), output_hidden_states=True).hidden_states[-1][0]


def mixed(prompts):
    """Rows of every kind for every prompt, neighbours of different kinds."""
    kinds = [None, Entropy(), MeanPooled(), ChoiceScores.of(CHOICES), TreeLogits(), MeanPooled(skipped=8)]
    params = SamplingParams(max_new_tokens=NEW_TOKENS)
    return [
        Request(f"{i} {k}", prompt, params if kind is None else None, kind)
        for i, prompt in enumerate(prompts)
        for k, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize("rows", [3, 64])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_row_beside_every_other(variant, rows, engine, oracle, prompts):
    requests = mixed(prompts)
    for request, completion in zip(requests, engine(variant, max_batch_rows=rows).run(requests), strict=True):
        check(request, completion, oracle(variant))


def test_a_prefix_is_shared_up_to_the_first_token_that_is_read(checkpoint, oracle, prompts, monkeypatch):
    monkeypatch.setattr("model.execution.options.page_size", lambda _: 8)
    prefix = max(prompts, key=len)[:8]
    loaded = Engine.load(checkpoint("mixtral"), threads=1, max_batch_rows=5)
    for kind in (Entropy(), MeanPooled(), MeanPooled(skipped=8), TreeLogits()):
        requests = [Request(str(i), prefix + prompt, readout=kind) for i, prompt in enumerate(prompts[1:4])]
        completions = loaded.run(requests)
        for request, completion in zip(requests, completions, strict=True):
            check(request, completion, oracle("mixtral"))
        every = sum(len(one.prompt_token_ids) + len(kind.tree.token_ids) for one in requests)
        shared = 0 if isinstance(kind, MeanPooled) and kind.skipped < 8 else 8
        assert sum(completion.routing.computed[0] for completion in completions) == every - 2 * shared


def test_ranks_need_no_readout(checkpoint, oracle, prompts):
    """The classes of this file can't be imported by name in another process."""
    sharded = Engine.load(checkpoint("mixtral"), tensor_parallel=2, threads=1, max_batch_rows=7)
    try:
        requests = mixed(prompts[:4])
        for request, completion in zip(requests, sharded.run(requests), strict=True):
            check(request, completion, oracle("mixtral"))
    finally:
        sharded.close()


def test_a_row_that_is_read_once_needs_no_cache_and_reads_up_to_the_contexts_end(engine, oracle):
    prompt = torch.randint(0, 97, (96,), generator=torch.Generator().manual_seed(2)).tolist()
    [completion] = engine("mixtral", max_batch_rows=3, kv_cache_tokens=60).run(
        [Request("row", prompt, readout=MeanPooled())]
    )
    assert completion.answer == pytest.approx(
        hidden_states(oracle("mixtral"), prompt).mean(0).tolist(), abs=1e-4
    )


class NamesATokenThatIsNone(Entropy):
    named_token_ids = (3, 97)


class ReadsBehindTheEnd(Entropy):
    def first_read(self, prompt_tokens: int) -> int:
        return prompt_tokens


@pytest.mark.parametrize(
    ("readout", "message"),
    [
        (NamesATokenThatIsNone(), r"a token id must be in \[0, 97\), got 97"),
        (
            ReadsBehindTheEnd(),
            r"ReadsBehindTheEnd.first_read must be in \[0, 2\) for a prompt of 2 tokens, got 2",
        ),
        (ChoiceScores.of([[1] * 96]), "2 prompt tokens and 95 further ones exceed the context of 96"),
        (ChoiceScores.of([[1] * 95], [2]), "2 prompt tokens and 95 further ones exceed the context of 96"),
        (ChoiceScores.of([[1]], [2, 97]), r"a token id must be in \[0, 97\), got 97"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_readout_asks_for_is_checked(readout, message, engine):
    with pytest.raises(ValueError, match=message):
        engine("mixtral").submit(Request("row", [5, 6], readout=readout))
    assert engine("mixtral").idle


def test_what_is_asked_of_a_part_of_the_tokens():
    asked = AskedTokens(np.array([0, 0, 2, 5]), np.array([7, 8, 9, 3]))
    parts = [asked.of_part(0, 2), asked.of_part(2, 5), asked.of_part(5, 6), asked.of_part(3, 5)]
    assert [part.reads.tolist() for part in parts] == [[0, 0], [0], [0], []]
    assert [part.token_ids.tolist() for part in parts] == [[7, 8], [9], [3], []]


def test_the_defaults_read_the_last_token_and_keep_nothing():
    entropy = Entropy()
    assert (entropy.head, entropy.tree, entropy.first_read(7)) == (Head.VOCABULARY, NO_TREE, 6)
    assert (entropy.kept_tokens, entropy.further_tokens, list(entropy.named_token_ids)) == (0, 0, [])
    assert TreeLogits().further_tokens == 2

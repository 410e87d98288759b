"""Every head gives what transformers' class gives, whatever shares the batch, the prefix or the model."""

import numpy as np
import pytest
import torch

from model.checkpoint.load import load_transformer
from model.engine import Engine
from model.requests.label_logits import LabelLogits
from model.requests.pooled_states import PooledStates
from model.requests.request import Request
from model.requests.text_scores import TextScores
from model.scheduling.batch import left_pad

READOUTS = {
    "classes": LabelLogits(),
    "reward": LabelLogits(),
    "tokens": LabelLogits(first=0),
    "spans": LabelLogits(first=0),
    "base": PooledStates("mean"),
}
VARIANTS = ["mixtral", "window", "dense", "dense-window"]


def expected(oracle, head, prompt):
    outputs = oracle.outputs(prompt).double()
    if head == "base":
        return outputs.mean(0)
    return outputs[None] if outputs.dim() == 1 else outputs


def check(oracle, head, prompts, completions, atol=1e-4):
    for prompt, completion in zip(prompts, completions, strict=True):
        assert completion.failure is None
        answer = torch.from_numpy(np.asarray(completion.answer)).double()
        torch.testing.assert_close(answer, expected(oracle, head, prompt), atol=atol, rtol=0)


def requests(head, prompts):
    return [Request(str(i), prompt, readout=READOUTS[head]) for i, prompt in enumerate(prompts)]


def loaded(oracle, **options):
    return Engine.load(oracle.folder, threads=1, **{"max_batch_rows": 5} | options)


@pytest.mark.parametrize("head", READOUTS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_of_all_lengths_beside_each_other(variant, head, headed, prompts):
    oracle = headed(variant, head)
    completions = loaded(oracle).run(requests(head, prompts))
    check(oracle, head, prompts, completions)
    for prompt, completion in zip(prompts, completions, strict=True):
        routed = None if variant.startswith("dense") else len(prompt)
        assert (completion.routing and completion.routing.tokens[0]) == routed


@pytest.mark.parametrize("head", READOUTS)
def test_a_left_padded_batch(head, headed, prompts):
    oracle = headed("mixtral", head)
    ids, mask = left_pad(prompts)
    outputs = load_transformer(oracle.folder, torch.float32)(ids, mask)
    for prompt, of_row in zip(prompts, outputs, strict=True):
        wanted = oracle.outputs(prompt)
        own = of_row[-len(prompt) :] if wanted.dim() == 2 else of_row[-1]
        torch.testing.assert_close(own, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("head", ["classes", "tokens", "base"])
def test_a_shared_prefix_changes_nothing(head, headed, prompts, monkeypatch):
    monkeypatch.setattr("model.execution.options.page_size", lambda _: 8)
    oracle = headed("mixtral", head)
    rows = [max(prompts, key=len)[:17] + prompt for prompt in prompts]
    completions = loaded(oracle).run(requests(head, rows))
    check(oracle, head, rows, completions)
    computed = sum(int(one.routing.computed[0]) for one in completions)
    saved = 16 * (len(rows) - 1) if head == "classes" else 0  # the others read the prefix itself
    assert computed == sum(map(len, rows)) - saved


@pytest.mark.parametrize("head", ["classes", "tokens", "spans", "base"])
def test_prompts_beyond_a_step_are_read_in_several(head, headed, prompts, monkeypatch):
    monkeypatch.setattr("model.engine.STEP_TOKENS", 8)
    oracle = headed("mixtral", head)
    engine = loaded(oracle)
    forward, most = engine.ranks.forward, []

    def counted(batch):
        most.append(max(row.length for row in batch.rows))
        return forward(batch)

    monkeypatch.setattr(engine.ranks, "forward", counted)
    check(oracle, head, prompts, engine.run(requests(head, prompts)))
    assert max(most) <= 8 < max(map(len, prompts))


@pytest.mark.parametrize("step", [8, 4096])
@pytest.mark.parametrize("variant", ["mixtral", "dense-window"])
def test_texts_are_scored_as_by_log_softmax(variant, step, oracle, checkpoint, prompts, monkeypatch):
    monkeypatch.setattr("model.engine.STEP_TOKENS", step)
    texts = [prompt for prompt in prompts if len(prompt) > 1]
    cuts = [1, *(len(text) // 2 for text in texts[1:])]  # the first one is scored as a whole
    rows = [
        Request(str(i), text, readout=TextScores(text[cut:]))
        for i, (text, cut) in enumerate(zip(texts, cuts, strict=True))
    ]
    engine = Engine.load(checkpoint(variant), threads=1, max_batch_rows=5)
    for text, cut, completion in zip(texts, cuts, engine.run(rows), strict=True):
        table = oracle(variant).logits(text).double().log_softmax(-1)
        wanted = [float(table[i - 1, text[i]]) for i in range(cut, len(text))]
        assert completion.answer == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(("dtype", "quantization"), [("bfloat16", "none"), ("float32", "int8")])
def test_fewer_bits_change_probabilities_little(dtype, quantization, headed, prompts):
    oracle = headed("mixtral", "classes")
    completions = loaded(oracle, dtype=dtype, quantization=quantization).run(requests("classes", prompts))
    for prompt, completion in zip(prompts, completions, strict=True):
        ours = torch.from_numpy(completion.answer[0]).softmax(-1)
        assert float((ours - oracle.outputs(prompt).double().softmax(-1)).abs().max()) < 0.12


def test_two_ranks_give_what_one_gives(headed, prompts):
    oracle = headed("mixtral", "tokens")
    sharded = loaded(oracle, tensor_parallel=2)
    try:
        check(oracle, "tokens", prompts, sharded.run(requests("tokens", prompts)))
    finally:
        sharded.close()


@pytest.mark.slow
@pytest.mark.parametrize("head", ["classes", "spans", "base"])
def test_two_ranks_with_every_other_head(head, headed, prompts):
    oracle = headed("dense-window", head)
    sharded = loaded(oracle, tensor_parallel=2)
    try:
        check(oracle, head, prompts, sharded.run(requests(head, prompts)))
    finally:
        sharded.close()


def test_a_head_is_asked_for_what_it_gives_alone(headed, engine):
    classifier = loaded(headed("mixtral", "classes"))
    with pytest.raises(ValueError, match="NextToken needs vocabulary outputs, which a sequence classifier"):
        classifier.generate([[1, 2]])
    with pytest.raises(ValueError, match="ChoiceScores needs logprobs outputs, which a sequence classifier"):
        classifier.score([[1, 2]], [[3], [4]])
    with pytest.raises(ValueError, match="LabelLogits needs labels outputs, which a language model does not"):
        engine("mixtral").run([Request("row", [1], readout=LabelLogits())])
    assert classifier.idle

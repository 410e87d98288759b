"""A step that memory does not suffice for is run in halves, down to a row that fails alone."""

import numpy as np
import torch

from model.engine import Engine
from model.sampling.sampling_params import SamplingParams

NEW_TOKENS = 6


def test_batches_are_halved_and_a_row_that_fails_alone_ends_alone(checkpoint, oracle, prompts, monkeypatch):
    engine = Engine.load(checkpoint("mixtral"), threads=1, max_batch_rows=8)
    params = SamplingParams(max_new_tokens=NEW_TOKENS)
    undisturbed = engine.generate(prompts, params)
    longest = max(map(len, prompts))
    room, hidden, steps = longest - 1, engine.ranks.local.model.hidden, []

    def in_little_memory(token_ids, *rest):
        steps.append(len(token_ids))
        if len(token_ids) > room:
            # late in the step, when layers have been observed and the cache is written
            hidden(token_ids, *rest)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return hidden(token_ids, *rest)

    monkeypatch.setattr(engine.ranks.local.model, "hidden", in_little_memory)
    completions = engine.generate(prompts, params)
    assert any(step > room for step in steps)
    for prompt, completion, before in zip(prompts, completions, undisturbed, strict=True):
        assert completion.failure == ("out_of_memory" if len(prompt) == longest else None)
        if completion.failure:
            assert completion.token_ids == []
        else:
            assert completion.token_ids == oracle("mixtral").generate(tuple(prompt), NEW_TOKENS)
            np.testing.assert_array_equal(completion.routing.chosen, before.routing.chosen)
            np.testing.assert_array_equal(completion.routing.tokens, before.routing.tokens)
    assert engine.idle
    engine.close()


def test_smaller_batches_stay_until_a_row_turns_out_to_be_the_cause(checkpoint, monkeypatch):
    engine = Engine.load(checkpoint("mixtral"), threads=1, max_batch_rows=8)
    hidden, steps = engine.ranks.local.model.hidden, []

    def at_most_two_rows(token_ids, positions, *rest):
        steps.append(int((positions == 0).sum()) or len(token_ids))
        if steps[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return hidden(token_ids, positions, *rest)

    monkeypatch.setattr(engine.ranks.local.model, "hidden", at_most_two_rows)
    completions = engine.generate([[1, 2, 3]] * 8, SamplingParams(max_new_tokens=NEW_TOKENS, ignore_eos=True))
    assert [len(completion.token_ids) for completion in completions] == [NEW_TOKENS] * 8
    assert [step for step in steps if step > 2] == [8, 4], "later steps begin with what worked"
    engine.close()

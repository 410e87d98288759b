"""Hidden states of chosen layers are transformers' `hidden_states`, beside rows of other kinds."""

import pytest
import torch

from model.engine import Engine
from model.requests.layer_states import LayerStates
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams


@pytest.mark.parametrize("step", [8, 4096])
@pytest.mark.parametrize("variant", ["mixtral", "dense-window"])
def test_layers_are_transformers(variant, step, oracle, checkpoint, prompts, monkeypatch):
    monkeypatch.setattr("model.engine.STEP_TOKENS", step)
    monkeypatch.setattr("model.execution.options.page_size", lambda _: 8)
    layers = (0, 2, 3)
    engine = Engine.load(checkpoint(variant), threads=1, max_batch_rows=5, hidden_layers=layers)
    params = SamplingParams(max_new_tokens=4)
    begin = max(prompts, key=len)[:9]  # shared by all rows, but for what they read
    rows = [begin + prompt for prompt in prompts]
    requests = [Request(f"{i} states", row, readout=LayerStates()) for i, row in enumerate(rows)]
    requests += [Request(f"{i} text", row, params) for i, row in enumerate(rows)]
    completions = engine.run(requests)
    for row, completion in zip(rows, completions, strict=False):
        with torch.inference_mode():
            states = oracle(variant).model(torch.tensor([row]), output_hidden_states=True).hidden_states
        wanted = torch.stack([states[layer][0] for layer in layers], 1)
        torch.testing.assert_close(torch.from_numpy(completion.answer), wanted, atol=1e-4, rtol=1e-4)
    for row, completion in zip(rows, completions[len(rows) :], strict=True):
        assert completion.token_ids == oracle(variant).generate(tuple(row), 4)


def test_an_engine_gives_the_layers_that_it_was_loaded_for(engine):
    with pytest.raises(ValueError, match="hidden states of layers need an engine that was loaded with"):
        engine("mixtral").run([Request("row", [1, 2], readout=LayerStates())])
    assert engine("mixtral").idle

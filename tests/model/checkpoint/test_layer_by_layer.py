import pytest
import torch

from model.checkpoint.layer_by_layer import logits_layer_by_layer
from model.checkpoint.load import as_stored, load_transformer, opened, uninitialised
from model.scheduling.batch import left_pad
from tests.model.checkpoint.refusal import PROMPT


@pytest.mark.parametrize("variant", ["mixtral", "tied", "dense-window"])
def test_logits_are_those_of_the_whole_model(variant, checkpoint):
    with opened(checkpoint(variant)) as (config, files):
        model = uninitialised(config, torch.float32, "meta")
        ours = logits_layer_by_layer(model, files, torch.tensor(PROMPT))
        whole = load_transformer(checkpoint(variant), torch.float32)(*left_pad([PROMPT]))[0]
        torch.testing.assert_close(ours, whole, atol=1e-5, rtol=0)
        again = logits_layer_by_layer(model, files, torch.tensor(PROMPT))
        assert torch.equal(again, ours), "the model can be used again"
        assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("head", ["classes", "tokens", "spans", "base"])
def test_other_heads_give_what_those_of_transformers_give(head, headed):
    with opened(headed("mixtral", head).folder) as (stated, files):
        model = uninitialised(as_stored(stated, files), torch.float32, "meta")
        ours = logits_layer_by_layer(model, files, torch.tensor(PROMPT))
        theirs = headed("mixtral", head).outputs(PROMPT)
        torch.testing.assert_close(ours[-1] if theirs.dim() == 1 else ours, theirs, atol=1e-4, rtol=0)


def test_one_layer_has_numbers_at_a_time(checkpoint):
    with opened(checkpoint("mixtral")) as (config, files):
        model = uninitialised(config, torch.float32, "meta")
        seen = []
        for block in model.blocks:
            block.register_forward_pre_hook(
                lambda *_: seen.append([not next(b.parameters()).is_meta for b in model.blocks])
            )
        logits_layer_by_layer(model, files, torch.tensor(PROMPT))
        assert seen == [[True, False, False], [False, True, False], [False, False, True]]

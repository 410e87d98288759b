import pytest
import torch

from model.checkpoint.load import load_transformer
from model.scheduling.batch import left_pad

VARIANTS = [
    "mixtral",
    "four-experts",
    "one-choice",
    "three-choices",
    "wide-heads",
    "one-kv-head",
    "tied",
    "window",
    "dense",
    "dense-window",
]
MIXTURES = [name for name in VARIANTS if not name.startswith("dense")]


@pytest.fixture(scope="session")
def transformer(checkpoint):
    return lambda variant: load_transformer(checkpoint(variant), torch.float32)


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_transformers(variant, transformer, oracle, prompts):
    token_ids, mask = left_pad(prompts)
    logits = transformer(variant)(token_ids, mask)
    assert logits.shape == (len(prompts), max(map(len, prompts)), 97)
    for row, prompt in enumerate(prompts):
        expected = oracle(variant).logits(prompt)
        torch.testing.assert_close(logits[row, -len(prompt) :], expected, atol=1e-4, rtol=0)
        assert expected.std() > 0.5, "logits too flat to tell a right model from a wrong one"


@pytest.mark.parametrize("variant", MIXTURES)
def test_router_logits_equal_transformers(variant, transformer, oracle, prompts):
    seen = []
    token_ids, mask = left_pad(prompts)
    transformer(variant)(token_ids, mask, lambda layer, logits, *_: seen.append((layer, logits)))
    assert [layer for layer, _ in seen] == [0, 1, 2]
    expected = torch.cat([oracle(variant).router_logits(prompt) for prompt in prompts], dim=1)
    torch.testing.assert_close(torch.stack([logits for _, logits in seen]), expected, atol=1e-4, rtol=0)


def test_the_window_decides_what_is_seen(transformer, oracle, prompts):
    """Guards the two window parity tests: their prompts must reach beyond the window."""
    longest = max(prompts, key=len)
    token_ids, mask = left_pad([longest])
    model = transformer("window")
    within = model(token_ids, mask)
    changed = token_ids.clone()
    changed[0, 0] = (changed[0, 0] + 1) % 97
    beyond = model(changed, mask)
    layers, window = 3, 6
    reach = layers * (window - 1)
    change = (within - beyond)[0].abs().amax(-1)
    assert change[reach] > 1e-3
    assert change[reach + 1 :].max() < 1e-5


@pytest.mark.parametrize("variant", ["mixtral", "window", "dense-window"])
def test_padding_changes_nothing(variant, transformer, prompts):
    """Wider padding, garbage in the pads, other companions, another order.

    The last bits may differ: with AVX-512 the sums' order depends on how many rows a multiplication has.
    """
    model = transformer(variant)
    token_ids, mask = left_pad(prompts)
    logits = model(token_ids, mask)

    wider = torch.cat((torch.full((len(prompts), 5), 96), token_ids.masked_fill(~mask, 42)), dim=1)
    wider_mask = torch.cat((torch.zeros(len(prompts), 5, dtype=torch.bool), mask), dim=1)
    padded = model(wider, wider_mask)
    assert (padded[~wider_mask] == 0).all()
    torch.testing.assert_close(padded[wider_mask], logits[mask], atol=1e-4, rtol=0)

    for row, prompt in enumerate(prompts):
        alone = model(*left_pad([prompt]))[0]
        torch.testing.assert_close(alone, logits[row][mask[row]], atol=1e-4, rtol=0)


def test_a_row_of_nothing_but_pads_is_allowed(transformer):
    token_ids, mask = left_pad([[], [5, 6]])
    logits = transformer("mixtral")(token_ids, mask)
    assert (logits[0] == 0).all()
    assert not logits.isnan().any()


def test_left_pad():
    token_ids, mask = left_pad([[7], [1, 2, 3]])
    assert token_ids.tolist() == [[0, 0, 7], [1, 2, 3]]
    assert mask.tolist() == [[False, False, True], [True, True, True]]


@pytest.mark.parametrize("rows", [[], [[]], [[], []]])
def test_left_pad_of_nothing(rows):
    token_ids, mask = left_pad(rows)
    assert token_ids.shape == mask.shape == (len(rows), 0)
    assert (token_ids.dtype, mask.dtype) == (torch.int64, torch.bool)

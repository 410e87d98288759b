"""That a set of kernels computes what the plain one does: one check for each kernel, on drawn numbers.

Every other set is held to these by its own test file. What is drawn has odd shapes, too: one token, none,
widths that no vector divides.
"""

import torch

from model.kernels.cache_writes import LayerCache, Writes
from model.kernels.kernels import PLAIN

DTYPES = [torch.float32, torch.bfloat16]
TOKENS = [0, 1, 7, 64, 300]


def drawn(*shape, dtype=torch.float32, seed=0, device="cpu"):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype)


def close(found, expected):
    """Two of bfloat16's last places; float32's sums may have another order."""
    assert found.dtype is expected.dtype
    assert found.shape == expected.shape
    tolerance = 1e-5 if expected.dtype is torch.float32 else 2e-2
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


def check_add_norm(kernels, tokens, width, dtype, device="cpu"):
    x, update = (drawn(tokens, width, dtype=dtype, seed=i, device=device) * 30 for i in (1, 2))
    weight = drawn(width, dtype=dtype, device=device)
    before = x.clone()
    for given in (update, None):
        for found, expected in zip(
            kernels.add_norm(x, given, weight, 1e-5), PLAIN.add_norm(x, given, weight, 1e-5), strict=True
        ):
            close(found, expected)
    assert torch.equal(x, before), "it is not changed"


def drawn_for_rotation(tokens, heads, kv_heads, width, dtype, device="cpu"):
    """Queries, keys and values, and angles."""
    qkv = drawn(tokens, heads + 2 * kv_heads, width, dtype=dtype, device=device)
    angles = drawn(tokens, 1, width // 2, seed=1, device=device).repeat(1, 1, 2)
    sin = angles.sin()
    sin[..., : width // 2].neg_()
    return qkv, (angles.cos().to(dtype), sin.to(dtype))


def check_rotate(kernels, tokens, heads, kv_heads, width, dtype, device="cpu"):
    qkv, rope = drawn_for_rotation(tokens, heads, kv_heads, width, dtype, device)
    for found, expected in zip(
        kernels.rotate(qkv, rope, heads, kv_heads), PLAIN.rotate(qkv, rope, heads, kv_heads), strict=True
    ):
        close(found, expected)


def check_rotate_into(kernels, tokens, heads, kv_heads, width, dtype, device="cpu", *, opened=False):
    """Every third token is not kept. The same numbers in the same places, no other touched."""
    qkv, rope = drawn_for_rotation(tokens, heads, kv_heads, width, dtype, device)
    pages, page_size = tokens // 4 + 3, 4
    order = torch.randperm(pages * page_size, generator=torch.Generator().manual_seed(2))[:tokens]
    places = torch.where(torch.arange(tokens) % 3 == 1, -1, order).to(device)
    writes = Writes(
        kv_heads,
        page_size,
        places,
        (places >= 0).nonzero().flatten(),
        torch.tensor([1, pages - 1], device=device) if opened else None,
    )
    results = []
    for set_of_kernels in (kernels, PLAIN):
        shape = pages, kv_heads, page_size, width
        keys, values = (torch.full(shape, torch.nan, dtype=dtype, device=device) for _ in range(2))
        q, k = set_of_kernels.rotate(qkv, rope, heads, kv_heads, LayerCache(keys, values, writes))
        results.append((q, k, keys.nan_to_num(777), values.nan_to_num(777)))
    for found, expected in zip(*results, strict=True):
        close(found, expected)
    touched = torch.zeros(pages, page_size, dtype=torch.bool)
    touched.view(-1)[places[places >= 0].cpu()] = True
    if opened:
        touched[writes.opened.cpu()] = True
    for stored in results[0][2:]:
        assert torch.equal((stored != 777).all(-1).cpu(), touched[:, None].expand(-1, kv_heads, -1))


def check_route(kernels, tokens, experts, num_chosen, dtype, device="cpu"):
    """Of few distinct numbers, so that experts are equally likely."""
    logits = (drawn(tokens, experts, device=device) * 2).round().div(2).to(dtype)
    found, expected = kernels.route(logits, num_chosen), PLAIN.route(logits, num_chosen)
    close(found.weights, expected.weights)
    for name in ("chosen", "tokens", "places", "ends"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
        assert getattr(found, name).dtype is getattr(expected, name).dtype, name


def check_route_of_no_numbers(kernels, device="cpu"):
    """Not-a-number comes from a row that is dropped later: its experts exist, and the others are theirs."""
    logits = drawn(5, 8, device=device)
    logits[1], logits[3, 2] = float("nan"), float("nan")
    found, expected = kernels.route(logits, 2), PLAIN.route(logits, 2)
    real = [0, 2, 4]
    assert torch.equal(found.chosen[real], expected.chosen[real])
    assert ((found.chosen >= 0) & (found.chosen < 8)).all()
    assert (found.chosen[:, 0] != found.chosen[:, 1]).all()
    assert found.places.flatten().sort().values.tolist() == [*range(10)]
    assert torch.equal(found.tokens[found.places], torch.arange(5, device=device)[:, None].expand(5, 2))
    assert found.ends[-1] == 10
    assert found.weights[1].isnan().all()


def check_swish_product(kernels, tokens, width, dtype, device="cpu"):
    gate_up = drawn(tokens, 2 * width, dtype=dtype, device=device) * 3
    close(kernels.swish_product(gate_up), PLAIN.swish_product(gate_up))


def check_weighted_sum(kernels, tokens, num_chosen, width, dtype, device="cpu"):
    outputs = drawn(tokens * num_chosen, width, dtype=dtype, device=device)
    places = torch.randperm(len(outputs), generator=torch.Generator().manual_seed(3)).to(device)
    weights = drawn(tokens, num_chosen, seed=4, device=device).softmax(-1)
    given = outputs, places.view(tokens, num_chosen), weights
    close(kernels.weighted_sum(*given), PLAIN.weighted_sum(*given))

"""Each C++ kernel, held to the plain one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.kernels.cache_writes import LayerCache, Writes
from model.kernels.compiled_kernels import compiled_kernels
from tests.model.kernels import same

COMPILED = compiled_kernels()
pytestmark = pytest.mark.skipif(COMPILED is None, reason="there is no C++ compiler")

DTYPE = st.sampled_from(same.DTYPES)
TOKENS = st.sampled_from(same.TOKENS)
WIDTH = st.sampled_from([1, 7, 8, 24, 33, 512])
many = settings(deadline=None, max_examples=40)


@many
@given(TOKENS, WIDTH, DTYPE)
def test_add_norm(tokens, width, dtype):
    same.check_add_norm(COMPILED, tokens, width, dtype)


@many
@given(TOKENS, st.sampled_from([(4, 2), (3, 1), (8, 8)]), st.sampled_from([2, 16, 24, 128]), DTYPE)
def test_rotate(tokens, heads, width, dtype):
    same.check_rotate(COMPILED, tokens, *heads, width, dtype)
    for opened in (False, True):
        same.check_rotate_into(COMPILED, tokens, *heads, width, dtype, opened=opened)


def cache_of(places, opened=None, pages=3, dtype=torch.float32):
    keys, values = (torch.full((pages, 2, 4, 8), torch.nan, dtype=dtype) for _ in range(2))
    return LayerCache(keys, values, Writes(2, 4, torch.tensor(places), opened=opened))


@pytest.mark.parametrize(
    ("cache", "complaint"),
    [
        (cache_of([0, -2, 1]), "there is no number -2"),
        (cache_of([0, 12, 1]), "there is no number 12"),
        (cache_of([0, 1, 2], opened=torch.tensor([3])), "there is no number 3"),
        (cache_of([0, 1]), "a place for each token"),
        (cache_of([0, 1, 2], dtype=torch.bfloat16), "one dtype"),
    ],
)
def test_places_that_do_not_exist_are_refused_and_nothing_is_stored(cache, complaint):
    qkv, rope = same.drawn_for_rotation(3, 4, 2, 8, torch.float32)
    with pytest.raises(RuntimeError, match=complaint):
        COMPILED.rotate(qkv, rope, 4, 2, cache)
    assert cache.keys.isnan().all()
    assert cache.values.isnan().all()


@many
@given(TOKENS, st.sampled_from([(8, 2), (4, 1), (6, 3), (16, 2)]), DTYPE)
def test_route(tokens, experts, dtype):
    same.check_route(COMPILED, tokens, *experts, dtype)


def test_route_of_no_numbers():
    same.check_route_of_no_numbers(COMPILED)


@many
@given(TOKENS, WIDTH, DTYPE)
def test_swish_product(tokens, width, dtype):
    same.check_swish_product(COMPILED, tokens, width, dtype)


@many
@given(TOKENS, st.integers(1, 3), WIDTH, DTYPE)
def test_weighted_sum(tokens, num_chosen, width, dtype):
    same.check_weighted_sum(COMPILED, tokens, num_chosen, width, dtype)


def test_other_number_types_are_refused():
    x = torch.ones(1, 4, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="float32 or bfloat16"):
        COMPILED.swish_product(x)

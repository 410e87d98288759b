import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.linear.choose import layout_for
from model.network.tensor_parallel import TensorParallel, VocabParallelEmbedding

SIZES = st.sampled_from([1, 2, 3, 4, 8])


def ranks(size):
    return [TensorParallel(rank, size) for rank in range(size)]


@given(size=SIZES, per_rank=st.integers(1, 50))
def test_shares_are_equal_and_in_order(size, per_rank):
    shares = [tp.share(size * per_rank, "features") for tp in ranks(size)]
    assert [i for share in shares for i in range(share.start, share.stop)] == [*range(size * per_rank)]
    assert {share.stop - share.start for share in shares} == {per_rank}


@given(size=SIZES, vocab_size=st.integers(64, 300))
def test_every_token_has_one_rank(size, vocab_size):
    shares = [tp.vocabulary_share(vocab_size) for tp in ranks(size)]
    assert [i for share in shares for i in range(share.start, share.stop)] == [*range(vocab_size)]
    assert all(share.stop - share.start <= -(-vocab_size // size) for share in shares)


@given(size=SIZES, kv_heads=st.sampled_from([1, 2, 3, 4, 6, 8, 24]), group=st.integers(1, 4))
def test_ranks_hold_the_kv_heads_of_their_query_heads(size, kv_heads, group):
    heads = kv_heads * group
    if (kv_heads % size and size % kv_heads) or heads % size:
        return
    for tp in ranks(size):
        query_heads, share = tp.share(heads, "heads"), tp.kv_share(kv_heads)
        needed = {head // group for head in range(query_heads.start, query_heads.stop)}
        assert needed == set(range(share.start, share.stop))


def test_sizes_that_do_not_divide():
    with pytest.raises(
        ValueError,
        match=r"tensor_parallel must divide the model's attention heads \(4\), got 3: choose another",
    ):
        TensorParallel(0, 3).share(4, "attention heads")
    with pytest.raises(ValueError, match=r"every rank a part of the vocabulary \(9\), got 4"):
        TensorParallel(0, 4).vocabulary_share(9)
    with pytest.raises(ValueError, match="tensor_parallel must be at least 1, got 0"):
        TensorParallel(0, 0)
    with pytest.raises(ValueError, match=r"KV heads \(6\) or be a multiple of them, got 4"):
        TensorParallel(0, 4).kv_share(6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("laid_out", [True, False])
def test_labels_that_are_unsure_keep_their_probabilities(dtype, laid_out):
    """Logits from 16 to 32, as large models have, which bfloat16 stores in steps of 1/8."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(300, 64, generator=generator).to(dtype)
    direction = torch.randn(64, generator=generator)
    weight[:5] = (direction / direction.norm() * 3 + weight[:5] * 0.05).to(dtype)  # the labels
    x = (direction / direction.norm() * torch.linspace(6, 10, 50)[:, None]).to(dtype)
    head = VocabParallelEmbedding(300, 64, TensorParallel())
    head.weight.data = weight
    layout = layout_for(dtype, torch.device("cpu"), "none") if laid_out else None
    if layout is not None:
        head.lay_out(layout)
    exact = (x.double() @ weight.double().T)[:, :5]
    logits = head(x)[:, :5]
    assert logits.dtype is torch.float32
    assert exact.min() > 15
    torch.testing.assert_close(logits.double().softmax(-1), exact.softmax(-1), atol=1e-3, rtol=0)
    rounded = exact.to(torch.bfloat16).double().softmax(-1)
    assert (rounded - exact.softmax(-1)).abs().max() > 0.01, "else the test shows nothing"

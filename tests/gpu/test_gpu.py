"""What only a GPU can show: its own kernels and captured steps against the plain path in the same numbers.

Needs torch, numpy, safetensors and pytest alone: `python -m pytest --noconftest -m gpu tests/gpu`.
"""

from itertools import pairwise

import pytest
import torch

from benchmarks.random_checkpoint import SIZES, write_checkpoint
from model.attention.flash import Ragged, flash
from model.attention.log_sum_exp import attend_tokens
from model.engine import Engine
from model.kernels.kernels import PLAIN
from model.machine.to_device import to_device
from model.network.experts import Experts
from model.network.tensor_parallel import TensorParallel, VocabParallelEmbedding
from model.requests.readout import Head
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import Batch, Phase, Row

pytest.importorskip("triton", reason="comes with torch's builds for GPUs")
from model.attention.triton_kernel import attend_pages

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DTYPES = [torch.bfloat16, torch.float16]
CLOSE = {"atol": 2e-2, "rtol": 2e-2}  # of numbers near 1: three of bfloat16's last places
VOCABULARY = SIZES["tiny"]["vocab_size"]


def logits_of(engine, rows):
    """On the host, so that a step has ended before the next begins."""
    logits = engine.ranks.forward(Batch.of(rows))[Head.VOCABULARY]
    assert logits.dtype is torch.float32
    return logits.cpu()


def drawn(*shape, seed=0, dtype=torch.bfloat16):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to("cuda", dtype)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    write_checkpoint(folder, "tiny")
    return folder


@pytest.fixture(scope="module")
def prompts():
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randint(0, VOCABULARY, (n,), generator=generator).tolist() for n in (1, 3, 40, 17, 300, 129)
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", [None, 37])
def test_flash_over_rows_side_by_side_equals_row_by_row(dtype, window):
    lengths = [1, 64, 5, 130]
    q, k, v = (drawn(sum(lengths), heads, 64, seed=heads, dtype=dtype) for heads in (8, 2, 2))
    rows = to_device(Ragged.of(lengths), q.device)
    attended, lse = flash(q, k, v, rows, rows, causal=True, window=window)
    for start, end in pairwise(rows.bounds.tolist()):
        distance = torch.arange(end - start, device="cuda")[:, None] - torch.arange(
            end - start, device="cuda"
        )
        visible = (distance >= 0) & (distance < (window or end))
        bias = torch.zeros_like(visible, dtype=torch.float32).masked_fill_(~visible, float("-inf"))
        exact = (x[start:end].float() for x in (q, k, v))
        expected, expected_lse = attend_tokens(*exact, bias=bias[None, None])
        torch.testing.assert_close(attended[start:end].float(), expected, **CLOSE)
        torch.testing.assert_close(lse[start:end], expected_lse, **CLOSE)


@pytest.mark.parametrize("queries", [[1, 1, 1], [3, 1, 7]])
def test_flash_to_other_rows_keys_equals_row_by_row(queries):
    """As the nodes of trees read their prompts; with one query a row torch takes another way."""
    seen = [5, 64, 130]
    q = drawn(sum(queries), 8, 128)
    k, v = (drawn(sum(seen), 2, 128, seed=i) for i in (1, 2))
    rows, keys = to_device([Ragged.of(queries), Ragged.of(seen)], q.device)
    attended, lse = flash(q, k, v, rows, keys, causal=False)
    for mine, read in zip(pairwise(rows.bounds.tolist()), pairwise(keys.bounds.tolist()), strict=True):
        expected, expected_lse = attend_tokens(
            q[slice(*mine)].float(), k[slice(*read)].float(), v[slice(*read)].float()
        )
        torch.testing.assert_close(attended[slice(*mine)].float(), expected, **CLOSE)
        torch.testing.assert_close(lse[slice(*mine)], expected_lse, **CLOSE)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pages_equal_their_rows(dtype):
    keys, values = drawn(2, 36, 2, 64, 128, dtype=dtype)
    keys[35] = values[35] = float("nan")
    table = torch.full((3, 11), 35, dtype=torch.int32, device="cuda")
    table[0, 0] = 3
    table[1] = torch.randperm(35, generator=torch.Generator().manual_seed(2))[:11]
    table[2, :8] = torch.arange(8, 16)
    begins, ends = torch.tensor([[0, 300, 0], [1, 700, 512]], dtype=torch.int32, device="cuda")
    q = drawn(3, 8, 128, seed=1, dtype=dtype)
    attended, lse = attend_pages(q, keys, values, table, begins, ends)
    for row in range(3):
        seen = slice(int(begins[row]), int(ends[row]))
        k, v = (x[table[row].long()].transpose(1, 2).flatten(0, 1)[seen].float() for x in (keys, values))
        expected, expected_lse = attend_tokens(q[row : row + 1].float(), k, v)
        torch.testing.assert_close(attended[row].float(), expected[0], **CLOSE)
        torch.testing.assert_close(lse[row], expected_lse[0], **CLOSE)


def test_grouped_experts_equal_one_after_the_other(checkpoint, monkeypatch):
    monkeypatch.setattr("model.network.experts._GROUPED", 64)
    config = Engine.load(checkpoint, "float32", kv_cache_tokens=64).config
    experts = Experts(0, config, TensorParallel()).to("cuda", torch.bfloat16)
    for weight in (experts.gate, experts.w13, experts.w2):
        weight.normal_(std=0.1)
    chosen = torch.tensor([0] * 40 + [3, 5, 5, 5] + [7] * 200, device="cuda")
    x = drawn(len(chosen), config.dim)
    ends = torch.searchsorted(chosen, torch.arange(8, device="cuda"), right=True).int()
    given = x, torch.arange(len(chosen), device="cuda"), ends, PLAIN
    torch.testing.assert_close(experts.run_grouped(*given), experts.run_by_expert(*given), **CLOSE)


@pytest.mark.parametrize(("shared", "quantization"), [(0, "none"), (64, "none"), (0, "int4")])
def test_logits_of_captured_steps_equal_those_of_the_plain_path(checkpoint, prompts, shared, quantization):
    """The same tokens are fed to both, whatever either would have chosen."""
    flash_engine, plain = (
        Engine.load(
            checkpoint,
            "bfloat16",
            attention=attention,
            max_batch_rows=8,
            kv_cache_tokens=4096,
            quantization=quantization,
        )
        for attention in ("flash", "sdpa")
    )
    size = flash_engine.ranks.local.cache.page_size
    most = -(-(max(map(len, prompts)) + 4) // size)
    prefix, own = [7] * shared, len(prompts) * most
    prefix_pages = [*range(own, own + shared // size)]
    pages = [[*prefix_pages, *range(slot * most, (slot + 1) * most)] for slot in range(len(prompts))]
    logits = []
    for engine in (flash_engine, plain):
        prefill = [
            Row(Phase.PREFILL, i, shared, prompt, pages[i], shared=shared) for i, prompt in enumerate(prompts)
        ]
        if prefix:
            prefill.insert(0, Row(Phase.PREFILL, 8, 0, prefix, prefix_pages, read_from=None))
        steps = [logits_of(engine, prefill)]
        for step in range(4):
            rows = [
                Row(
                    Phase.DECODE,
                    i,
                    shared + len(prompt) + step,
                    [(7 * i + step) % VOCABULARY],
                    pages[i],
                    shared=shared,
                )
                for i, prompt in enumerate(prompts)
            ]
            steps.append(logits_of(engine, rows))
        logits.append(torch.stack(steps))
    assert flash_engine.ranks.local.graphs is not None
    assert plain.ranks.local.graphs is None
    scale = logits[1].std()
    torch.testing.assert_close(logits[0] / scale, logits[1] / scale, atol=5e-2, rtol=5e-2)


def test_a_captured_step_waits_for_nothing(checkpoint):
    """torch raises where the host would wait; tests/gpu_without_gpu counts the same on a pretended device."""
    engine = Engine.load(checkpoint, "bfloat16", max_batch_rows=8, kv_cache_tokens=4096)
    rows = [Row(Phase.DECODE, slot, 5, [7], [slot]) for slot in range(3)]
    logits_of(engine, rows)  # captures it
    torch.cuda.set_sync_debug_mode("error")
    try:
        engine.ranks.forward(Batch.of(rows))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_are_not_rounded(dtype):
    head = VocabParallelEmbedding(1000, 512, TensorParallel()).to("cuda", dtype)
    head.weight.copy_(drawn(1000, 512, dtype=dtype))
    x = drawn(7, 512, seed=1, dtype=dtype)
    exact = x.double() @ head.weight.double().T
    torch.testing.assert_close(head(x).double(), exact, atol=1e-3, rtol=0)


def test_every_token_of_refilled_slots_is_counted(checkpoint, prompts):
    engine = Engine.load(checkpoint, "bfloat16", max_batch_rows=4, kv_cache_tokens=8192)
    completions = engine.generate(prompts * 3, SamplingParams(max_new_tokens=20, ignore_eos=True))
    for prompt, completion in zip(prompts * 3, completions, strict=True):
        assert len(completion.token_ids) == 20
        assert completion.routing.tokens.tolist() == [len(prompt), 19]
        assert (completion.routing.chosen.sum(-1) == completion.routing.tokens[:, None, None]).all()


def test_scores_are_close_to_those_in_float32(checkpoint, prompts):
    choices = [[3, 4, 5], [3, 9], [11], [12, 13]]
    half = Engine.load(checkpoint, "bfloat16", kv_cache_tokens=8192).score(prompts, choices)
    exact = Engine.load(checkpoint, "float32", kv_cache_tokens=8192).score(prompts, choices)
    for one, other in zip(half, exact, strict=True):
        assert one.answer == pytest.approx(other.answer, abs=0.05)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices, for NCCL")
def test_two_ranks_over_nccl_say_what_one_says(checkpoint, prompts):
    params = SamplingParams(max_new_tokens=12, ignore_eos=True)
    completions = []
    for ranks in (1, 2):
        engine = Engine.load(checkpoint, "float32", tensor_parallel=ranks, kv_cache_tokens=8192)
        completions.append(engine.generate(prompts, params))
        engine.close()
    for one, two in zip(*completions, strict=True):
        assert one.token_ids == two.token_ids
        assert (one.routing.chosen == two.routing.chosen).all()

"""What the engine is given to do: rows of random token ids whose lengths follow a distribution.

A workload depends on its name, its number of rows and the model's vocabulary alone: seeds are fixed.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.workload import Workload, lengths_of, random_tokens
from model.requests.question_scores import Branch

_SEED = 20240108
_PROMPTS_OF_A_DOCUMENT = 8
_LONG_PROMPT = 32_768


def lognormal(vocab_size: int, rows: int | None = None) -> Workload:
    """Prompts: median 96, sigma 0.6, 16..384; outputs: median 48, sigma 0.8, 4..256."""
    rng = np.random.default_rng(_SEED)
    rows = rows or 128
    prompts = lengths_of(rng, rows, median=96, sigma=0.6, least=16, most=384)
    outputs = lengths_of(rng, rows, median=48, sigma=0.8, least=4, most=256)
    return Workload("lognormal", [random_tokens(rng, vocab_size, n) for n in prompts], outputs)


def uniform(vocab_size: int, rows: int | None = None) -> Workload:
    """128 tokens in, 64 out."""
    rng = np.random.default_rng(_SEED + 1)
    rows = rows or 64
    return Workload("uniform", [random_tokens(rng, vocab_size, 128) for _ in range(rows)], [64] * rows)


def conversations(vocab_size: int, rows: int | None = None) -> Workload:
    """About 400 tokens in and 145 out on average, as MLPerf's set for Mixtral has them: for GPUs."""
    rng = np.random.default_rng(_SEED + 3)
    rows = rows or 1024
    prompts = lengths_of(rng, rows, median=335, sigma=0.6, least=16, most=2048)
    outputs = lengths_of(rng, rows, median=105, sigma=0.8, least=4, most=1024)
    return Workload("conversations", [random_tokens(rng, vocab_size, n) for n in prompts], outputs)


def label(vocab_size: int, rows: int | None = None) -> Workload:
    """An instruction of 400 tokens that all rows share, 40 of their own, 8 choices of 1 to 4 tokens."""
    rng = np.random.default_rng(_SEED + 2)
    rows = rows or 64
    instruction = random_tokens(rng, vocab_size, 400)
    prompts = [instruction + random_tokens(rng, vocab_size, 40) for _ in range(rows)]
    choices = [random_tokens(rng, vocab_size, 1 + i % 4) for i in range(8)]
    return Workload("label", prompts, [0] * rows, choices, instruction, shares_prefixes=True)


def documents(vocab_size: int, rows: int | None = None) -> Workload:
    """20 documents of 400 tokens, each with 8 questions of about 24; 16 tokens out; rows shuffled."""
    in_order = documents_in_order(vocab_size, rows)
    order = np.random.default_rng(_SEED + 5).permutation(len(in_order.prompts)).tolist()
    prompts = [in_order.prompts[row] for row in order]
    new_tokens = [in_order.new_tokens[row] for row in order]
    return Workload("documents", prompts, new_tokens, shares_prefixes=True)


def documents_in_order(vocab_size: int, rows: int | None = None) -> Workload:
    """The rows of `documents`, each document's together."""
    rng = np.random.default_rng(_SEED + 4)
    rows = rows or 20 * _PROMPTS_OF_A_DOCUMENT
    texts = [random_tokens(rng, vocab_size, 400) for _ in range(-(-rows // _PROMPTS_OF_A_DOCUMENT))]
    prompts = [
        texts[row // _PROMPTS_OF_A_DOCUMENT] + random_tokens(rng, vocab_size, int(rng.integers(16, 33)))
        for row in range(rows)
    ]
    outputs: list[int] = rng.integers(8, 25, rows).tolist()
    return Workload("documents-in-order", prompts, outputs, shares_prefixes=True)


def documents_apart(vocab_size: int, rows: int | None = None) -> Workload:
    """Rows as long as those of `documents`, in the same order, of which no two begin alike."""
    shared = documents(vocab_size, rows)
    rng = np.random.default_rng(_SEED + 6)
    prompts = [random_tokens(rng, vocab_size, len(prompt)) for prompt in shared.prompts]
    return Workload("documents-apart", prompts, shared.new_tokens, shares_prefixes=True)


def generous(vocab_size: int, rows: int | None = None) -> Workload:
    """lognormal's prompts; rows may generate 4,096 tokens and generate 145 on average; a small cache."""
    rng = np.random.default_rng(_SEED + 7)
    rows = rows or 256
    prompts = lengths_of(rng, rows, median=96, sigma=0.6, least=16, most=384)
    outputs = lengths_of(rng, rows, median=105, sigma=0.8, least=4, most=1024)
    tokens = [random_tokens(rng, vocab_size, n) for n in prompts]
    return Workload("generous", tokens, outputs, allowed_tokens=4096, cache_tokens=40_000)


def long(vocab_size: int, rows: int | None = None) -> Workload:
    """128 rows, 64 tokens in, 640 out; while they decode, a prompt of 32,768 tokens comes, one out."""
    rng = np.random.default_rng(_SEED + 8)
    rows = rows or 128
    prompts = [random_tokens(rng, vocab_size, n) for n in [64] * rows + [_LONG_PROMPT]]
    return Workload("long", prompts, [640] * rows + [1], late=1)


def questions(vocab_size: int, rows: int | None = None) -> Workload:
    """32 documents of 300 tokens, 8 questions of 15 about each, with 4 choices of 1 to 4 tokens."""
    rng = np.random.default_rng(_SEED + 9)
    texts = [random_tokens(rng, vocab_size, 300) for _ in range(rows or 32)]
    asked = [
        Branch(
            tuple(random_tokens(rng, vocab_size, 15)),
            tuple(tuple(random_tokens(rng, vocab_size, 1 + choice)) for choice in range(4)),
        )
        for _ in range(8)
    ]
    return Workload("questions", texts, [0] * len(texts), questions=asked)


WORKLOADS: dict[str, Callable[[int, int | None], Workload]] = {
    "lognormal": lognormal,
    "uniform": uniform,
    "label": label,
    "questions": questions,
    "conversations": conversations,
    "documents": documents,
    "documents-in-order": documents_in_order,
    "documents-apart": documents_apart,
    "generous": generous,
    "long": long,
}

"""transformers' Mixtral on a workload: static batches, continuous batching, and scores of choices.

Rows of a batch have prompts of similar lengths. On a CPU transformers' own loop ("eager") computes the
experts: its fastest way there.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, MixtralConfig, MixtralForCausalLM
from transformers.generation.continuous_batching.utils import WorkloadHints
from transformers.utils import logging

from benchmarks.random_checkpoint import has_weights
from benchmarks.workload import Workload
from model.config import ModelConfig
from model.machine.device import compute_dtype, default_device

Item = TypeVar("Item")
_PAGE = 256  # transformers' default


def load(folder: Path, dtype: str = "auto") -> Any:
    """In the number type that mixtray takes; on a GPU with grouped products of the experts."""
    logging.disable_progress_bar()
    device = default_device()
    on_gpu = device.type == "cuda"
    config = MixtralConfig.from_pretrained(folder)
    options = {
        "dtype": compute_dtype(dtype, ModelConfig.from_folder(folder), device),
        "experts_implementation": "grouped_mm" if on_gpu else "eager",
        "attn_implementation": "sdpa",
    }
    if has_weights(folder):
        model = MixtralForCausalLM.from_pretrained(folder, **options).to(device)
    else:
        with torch.device(device):
            model = MixtralForCausalLM._from_config(config, **options)
    model.generation_config.eos_token_id = None
    return model.eval()


@torch.inference_mode()
def generate_static(model: Any, workload: Workload, rows: int) -> list[list[int]]:
    """`generate` on batches of `rows` rows; each goes on until its longest row has ended."""
    generated: dict[int, list[int]] = {}
    for batch in _batches(workload, rows):
        token_ids, mask = _left_padded([workload.prompts[row] for row in batch])
        output = model.generate(
            token_ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=max(workload.new_tokens[row] for row in batch),
            do_sample=False,
            pad_token_id=0,
        )
        for row, new in zip(batch, output[:, token_ids.shape[1] :].tolist(), strict=True):
            generated[row] = new[: workload.new_tokens[row]]
    return [generated[row] for row in range(len(generated))]


@torch.no_grad()
def generate_continuous(model: Any, workload: Workload) -> list[list[int]]:
    """transformers' continuous batching, each row with its own number of tokens."""
    config = GenerationConfig(do_sample=False, max_new_tokens=max(workload.new_tokens))
    lengths = [len(p) + n for p, n in zip(workload.prompts, workload.new_tokens, strict=True)]
    # By default it takes nearly all memory, as it may on a GPU; on a CPU it gets blocks for all rows at once.
    blocks = sum(-(-length // _PAGE) for length in lengths) if model.device.type == "cpu" else None
    batching = ContinuousBatchingConfig(num_blocks=blocks, page_size=_PAGE)
    hints = WorkloadHints(max(map(len, workload.prompts)), max(workload.new_tokens), len(workload.prompts))
    generated: dict[int, list[int]] = {}
    with model.continuous_batching_context_manager(
        config, continuous_batching_config=batching, workload_hints=hints
    ) as manager:
        for row, (prompt, new_tokens) in enumerate(zip(workload.prompts, workload.new_tokens, strict=True)):
            manager.add_request(prompt, request_id=str(row), max_new_tokens=new_tokens, eos_token_id=-1)
        while len(generated) < len(workload.prompts):
            output = manager.get_result(timeout=1)
            if output is None:
                if not manager.is_running():
                    raise RuntimeError("transformers' continuous batching has stopped before its end")
            elif output.error is not None:
                raise RuntimeError(f"transformers' continuous batching: {output.error}")
            elif output.is_finished():
                generated[int(output.request_id)] = list(output.generated_tokens)
    return [generated[row] for row in range(len(generated))]


@torch.inference_mode()
def score_choices(model: Any, workload: Workload, rows: int) -> list[list[float]]:
    """The log-probability of every choice, each behind every prompt in a row of its own.

    Of several questions those of one behind those of another.
    """
    if workload.questions is not None:
        return _one_after_another(score_choices, model, workload, rows)
    assert workload.choices is not None
    pairs = [(row, choice) for row in range(len(workload.prompts)) for choice in range(len(workload.choices))]
    scores = [[0.0] * len(workload.choices) for _ in workload.prompts]
    for batch in _chunks(pairs, rows):
        texts = [workload.prompts[row] + workload.choices[choice] for row, choice in batch]
        token_ids, mask = _left_padded(texts)
        longest = max(map(len, workload.choices))
        inputs = token_ids.to(model.device), mask.to(model.device)
        logits = model(inputs[0], attention_mask=inputs[1], logits_to_keep=longest + 1).logits
        logprobs = logits.log_softmax(-1).cpu()
        for i, (row, choice) in enumerate(batch):
            tokens = workload.choices[choice]
            positions = range(longest - len(tokens), longest)
            scores[row][choice] = sum(
                float(logprobs[i, p, t]) for p, t in zip(positions, tokens, strict=True)
            )
    return scores


def generate_labels(model: Any, workload: Workload, rows: int) -> list[list[int]]:
    """Generate as many tokens as the longest choice has, as a user does who has no scores.

    Of several questions one after another.
    """
    if workload.questions is not None:
        return _one_after_another(generate_labels, model, workload, rows)
    assert workload.choices is not None
    longest = max(map(len, workload.choices))
    generating = Workload(workload.name, workload.prompts, [longest] * len(workload.prompts))
    return generate_static(model, generating, rows)


def _one_after_another(
    ask: Callable[[Any, Workload, int], list[list[Item]]], model: Any, workload: Workload, rows: int
) -> list[list[Item]]:
    """What each question gives, joined row by row."""
    each = [ask(model, one, rows) for one in workload.each_question()]
    return [[*chain.from_iterable(of_row)] for of_row in zip(*each, strict=True)]


def _batches(workload: Workload, rows: int) -> list[Sequence[int]]:
    order = sorted(range(len(workload.prompts)), key=lambda row: len(workload.prompts[row]))
    return [*_chunks(order, rows)]


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _left_padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, rows))
    token_ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return token_ids, mask

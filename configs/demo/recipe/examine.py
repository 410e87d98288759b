"""How good the trained checkpoint is: labels and replies on held-out rows, and what its router does.

python -m configs.demo.recipe.examine [--folder configs/demo/tiny-mixtral]
"""

import argparse
from collections import defaultdict
from pathlib import Path

import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor

from configs.demo.recipe.lessons import EOS, encode_prompt, label_prompt, reply_prompt
from configs.demo.recipe.write_rows import DEMO, MONTHS, QUESTIONS, question_rows, ticket_rows
from model.checkpoint.load import load_transformer
from model.network.transformer import Transformer
from model.scheduling.batch import left_pad

QUEUES = ["billing", "shipping", "returns", "technical", "account"]
GROUPS = ["en", "de", "fr", "es", "it", "code", "math"]
BATCH_ROWS = 50
LONGEST_ANSWER = 96


def label(model: Transformer, tokenizer: SentencePieceProcessor, texts: list[str]) -> list[str]:
    """The queue whose first token is the likeliest answer to each ticket; these tokens all differ."""
    first_tokens = [tokenizer.encode(queue)[0] for queue in QUEUES]
    prompts = [encode_prompt(tokenizer, label_prompt(text)) for text in texts]
    found = [model(*left_pad(rows))[:, -1, first_tokens].argmax(-1) for rows in _batches(prompts)]
    return [QUEUES[choice] for choice in torch.cat(found).tolist()]


def answer(model: Transformer, tokenizer: SentencePieceProcessor, prompts: list[str]) -> list[str]:
    """Greedy answers, without a cache: the batch is run anew for every token."""
    answers: list[str] = []
    for rows in _batches([encode_prompt(tokenizer, prompt) for prompt in prompts]):
        starts = [len(row) for row in rows]
        for _ in range(LONGEST_ANSWER):
            for row, token in zip(rows, model(*left_pad(rows))[:, -1].argmax(-1).tolist(), strict=True):
                row.append(token)
            if all(EOS in row[start:] for row, start in zip(rows, starts, strict=True)):
                break
        for row, start in zip(rows, starts, strict=True):
            written = row[start:]
            answers.append(tokenizer.decode(written[: written.index(EOS)] if EOS in written else written))
    return answers


def expert_usage(
    model: Transformer, tokenizer: SentencePieceProcessor, prompts: dict[str, list[str]]
) -> Tensor:
    """How often each expert is a prompt token's first or second choice, [layers, groups, experts]."""
    config = model.config
    counts = torch.zeros(config.num_layers, len(prompts), config.num_experts)
    for group, texts in enumerate(prompts.values()):

        def observe(
            layer: int, router_logits: Tensor, chosen: Tensor, gates: Tensor, group: int = group
        ) -> None:
            counts[layer, group] += chosen.flatten().bincount(minlength=config.num_experts)

        for rows in _batches([encode_prompt(tokenizer, text) for text in texts]):
            model(*left_pad(rows), observe)
    return counts


def information(counts: Tensor) -> Tensor:
    """Mutual information of expert and group in bits, [layers], with all groups equally frequent."""
    joint = counts / counts.sum(2, keepdim=True) / counts.shape[1]  # [L, G, E]
    independent = joint.sum(1, keepdim=True) * joint.sum(2, keepdim=True)
    return torch.where(joint > 0, joint * (joint / independent).log2(), 0.0).sum((1, 2))


def _batches(rows: list[list[int]]) -> list[list[list[int]]]:
    return [rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS)]


def print_labels(model: Transformer, tokenizer: SentencePieceProcessor) -> None:
    rows = [row for month in MONTHS for row in ticket_rows(month)]
    found = label(model, tokenizer, [row["ticket"] for row in rows])
    hits = defaultdict(list)
    for row, queue in zip(rows, found, strict=True):
        for key in ("all", row["language"], row["phrasing"] + " phrasing"):
            hits[key].append(queue == row["queue"])
    for key, right in hits.items():
        print(f"labels, {key}: {sum(right)} of {len(right)} right, {sum(right) / len(right):.3f}")


def print_answers(model: Transformer, tokenizer: SentencePieceProcessor) -> dict[str, list[str]]:
    rows = [row for kind in QUESTIONS for row in question_rows(kind)]
    prompts = {
        group: [reply_prompt(row["instruction"], row["question"]) for row in rows if row["language"] == group]
        for group in GROUPS
    }
    for group in GROUPS:
        known = [row["answer"] for row in rows if row["language"] == group]
        found = answer(model, tokenizer, prompts[group])
        same = sum(a == b for a, b in zip(known, found, strict=True))
        print(f"answers, {group}: {same} of {len(known)} as taught, for example: {found[0]}")
    return prompts


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description="Examine the demo's tiny Mixtral.")
    parser.add_argument("--folder", type=Path, default=DEMO / "tiny-mixtral")
    folder = parser.parse_args().folder
    model = load_transformer(folder, torch.float32)
    tokenizer = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    print_labels(model, tokenizer)
    usage = expert_usage(model, tokenizer, print_answers(model, tokenizer))
    for layer, (counts, bits) in enumerate(zip(usage, information(usage), strict=True)):
        load = counts.sum(0) / counts.sum()  # share of assignments; 1/8 when even
        shares = " ".join(f"{share:.3f}" for share in load)
        print(f"layer {layer}: load {shares}, {bits:.2f} bits about the group")


if __name__ == "__main__":
    main()

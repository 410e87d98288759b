"""Trains the demo's tiny Mixtral from nothing: about six minutes of one CPU core.

    python -m configs.demo.recipe.train [--folder configs/demo/tiny-mixtral] [--steps 1200]

The tokenizer, the weights and the lessons all follow from one seed: on one machine, with one number of
threads (OMP_NUM_THREADS), two runs write the same bytes.
"""

import argparse
import math
import time
from itertools import islice
from pathlib import Path
from random import Random

import sentencepiece
import torch
from torch import Tensor
from torch.nn import functional as F

from configs.demo.recipe.lessons import Lesson, lessons
from configs.demo.recipe.save import config_json, save_checkpoint
from configs.demo.recipe.tokenizer import train_tokenizer
from configs.demo.recipe.write_rows import DEMO
from model.config import ModelConfig
from model.network.transformer import Transformer
from model.scheduling.batch import left_pad

SEED = 7
TOKENIZER_LESSONS = 4000
BATCH_ROWS = 16
LEARNING_RATE = 3e-3
WARMUP_STEPS = 20
PROMPT_WEIGHT = 0.3  # learning to write tickets too, not only to answer them, gives experts their subjects
INITIAL_STD = 0.08
AUX_WEIGHT = 0.02  # at 0.001 a layer collapses onto few experts


def train(folder: Path, steps: int) -> None:
    """Train tokenizer and model, and write the checkpoint to `folder`."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    supply = lessons(Random(SEED))
    texts = (
        f"[INST] {lesson.prompt} [/INST] {lesson.answer}" for lesson in islice(supply, TOKENIZER_LESSONS)
    )
    tokenizer_model = train_tokenizer(texts)
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model)

    model = fresh_model(ModelConfig.from_dict(config_json()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, steps))
    started = time.perf_counter()
    for step in range(1, steps + 1):
        answers, prompts, balance = losses(model, tokenizer, list(islice(supply, BATCH_ROWS)))
        optimizer.zero_grad()
        (answers + PROMPT_WEIGHT * prompts + AUX_WEIGHT * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps:
            print(
                f"step {step}  answers {answers.item():.3f}  prompts {prompts.item():.3f}  "
                f"balance {balance.item():.3f}  {time.perf_counter() - started:.0f} s",
                flush=True,
            )
    save_checkpoint(folder, model, tokenizer_model)


def fresh_model(config: ModelConfig) -> Transformer:
    model = Transformer(config)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
        if parameter.ndim == 1:
            torch.nn.init.ones_(parameter)
        else:
            torch.nn.init.normal_(parameter, std=INITIAL_STD)
    return model


def learning_rate(step: int, steps: int) -> float:
    """A share of the full rate: linear warm-up, then a cosine down to a tenth."""
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    return warmup * (0.55 + 0.45 * math.cos(math.pi * step / steps))


def losses(
    model: Transformer, tokenizer: sentencepiece.SentencePieceProcessor, batch: list[Lesson]
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean loss of answers, of prompt tokens, and the mean over layers of the load-balance loss."""
    pairs = [lesson.encode(tokenizer) for lesson in batch]
    token_ids, mask = left_pad([prompt + answer for prompt, answer in pairs])
    is_answer = torch.zeros_like(mask)
    for row, (_, answer) in enumerate(pairs):
        is_answer[row, -len(answer) :] = True

    balance: list[Tensor] = []

    def observe(layer: int, router_logits: Tensor, chosen: Tensor, weights: Tensor) -> None:
        balance.append(load_balance(router_logits, chosen))

    logits = model(token_ids, mask, observe)[:, :-1]  # [B, T - 1, V]
    real = mask[:, :-1]
    each = F.cross_entropy(logits[real], token_ids[:, 1:][real], reduction="none")  # [N - B]
    in_answer = is_answer[:, 1:][real]
    # Every answer counts the same, or a reply of forty tokens would drown a label of two.
    by_answer = each[in_answer].split([len(answer) for _, answer in pairs])
    answers = torch.stack([answer.mean() for answer in by_answer]).mean()
    return answers, each[~in_answer].mean(), torch.stack(balance).mean()


def load_balance(router_logits: Tensor, chosen: Tensor) -> Tensor:
    """E * sum over experts of load share times mean probability; num_experts_per_tok when even.

    Switch Transformers, arXiv 2101.03961, equation 4, for every layer by itself.
    """
    tokens, experts = router_logits.shape
    share = chosen.flatten().bincount(minlength=experts) / tokens
    return experts * (share * router_logits.softmax(-1).mean(0)).sum()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the demo's tiny Mixtral.")
    parser.add_argument("--folder", type=Path, default=DEMO / "tiny-mixtral")
    parser.add_argument("--steps", type=int, default=1200)
    arguments = parser.parse_args()
    train(arguments.folder, arguments.steps)

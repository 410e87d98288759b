"""Trains the demo's tiny Mixtral further, to label tickets in a published chat format, and saves it."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import MixtralForCausalLM

from configs.demo.recipe.lessons import label_prompt
from configs.demo.recipe.tickets import LANGUAGES, write_ticket
from configs.demo.recipe.write_rows import DEMO
from tests.pipeline.text.lessons_in_a_format import FormatLessons, Lesson

STEPS = 40
BATCH_ROWS = 16
LEARNING_RATE = 2e-3
WARMUP_STEPS = 5
NO_LOSS = -100


def train(lessons: FormatLessons, folder: Path, steps: int = STEPS) -> None:
    """Its files are those of an upload: transformers' own, the tokenizer's, the chat template."""
    torch.manual_seed(0)
    model = MixtralForCausalLM.from_pretrained(DEMO / "tiny-mixtral", dtype=torch.float32)
    model.resize_token_embeddings(lessons.vocab_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARMUP_STEPS) * math.cos(math.pi / 2 * step / steps)
    )
    supply = _tickets(lessons)
    model.train()
    for _ in range(steps):
        token_ids, mask, labels = _batch([next(supply) for _ in range(BATCH_ROWS)])
        output = model(token_ids, attention_mask=mask, labels=labels, output_router_logits=True)
        optimizer.zero_grad()
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)
    shutil.copy(lessons.form.vocabulary, folder / "tokenizer.model")
    write_settings(folder, json.loads(lessons.form.tokenizer_config()), lessons.form.source)


def write_settings(folder: Path, tokenizer_config: dict[str, Any], template: str) -> None:
    text = json.dumps({**tokenizer_config, "chat_template": template})
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def _tickets(lessons: FormatLessons) -> Iterator[Lesson]:
    random = Random(0)
    while True:
        ticket = write_ticket(random, random.choice(LANGUAGES), held_out=False)
        yield lessons.lesson(label_prompt(ticket.text), ticket.queue)


def _batch(batch: list[Lesson]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and labels, [B, T]; the loss is on the answers and their ends alone."""
    rows = [torch.tensor(lesson.token_ids) for lesson in batch]
    labels = [row.clone() for row in rows]
    for label, lesson in zip(labels, batch, strict=True):
        label[: -lesson.answer_tokens] = NO_LOSS
    mask = [torch.ones_like(row) for row in rows]
    return (
        pad_sequence(rows, batch_first=True),
        pad_sequence(mask, batch_first=True),
        pad_sequence(labels, batch_first=True, padding_value=NO_LOSS),
    )

"""Trains the demo's tiny Mixtral further, to label tickets in published chat formats, and saves it."""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import MixtralForCausalLM

from configs.demo.recipe.lessons import label_prompt
from configs.demo.recipe.tickets import LANGUAGES, write_ticket
from configs.demo.recipe.write_rows import DEMO
from tests.pipeline.text.format_lessons import FormatLessons, Lesson

BATCH_ROWS = 16
WARMUP_STEPS = 5
NO_LOSS = -100


def train_in_all(formats: Sequence[FormatLessons], folder: Path) -> None:
    """From the demo's checkpoint to one that each format is taught from: a step towards all of them."""
    _train(DEMO / "tiny-mixtral", formats, steps=300, learning_rate=1e-3).save_pretrained(folder)


def train_in_one(lessons: FormatLessons, start: Path, folder: Path) -> None:
    _train(start, [lessons], steps=12, learning_rate=1e-3).save_pretrained(folder)


def write_tokenizer(lessons: FormatLessons, folder: Path) -> None:
    """What an upload has beside the model: the tokenizer's files, and the chat template in them."""
    shutil.copy(lessons.form.vocabulary, folder / "tokenizer.model")
    settings = {**json.loads(lessons.form.tokenizer_config()), "chat_template": lessons.form.source}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _train(
    start: Path, formats: Sequence[FormatLessons], steps: int, learning_rate: float
) -> MixtralForCausalLM:
    """The loss is on answers and their ends, each row in any of the formats."""
    torch.manual_seed(0)
    model = MixtralForCausalLM.from_pretrained(start, dtype=torch.float32)
    model.resize_token_embeddings(max(lessons.vocab_size for lessons in formats))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARMUP_STEPS) * math.cos(math.pi / 2 * step / steps)
    )
    supply = _tickets(formats)
    model.train()
    for _ in range(steps):
        token_ids, mask, labels = _batch([next(supply) for _ in range(BATCH_ROWS)])
        output = model(token_ids, attention_mask=mask, labels=labels, output_router_logits=True)
        optimizer.zero_grad()
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model


def _tickets(formats: Sequence[FormatLessons]) -> Iterator[Lesson]:
    random = Random(0)
    while True:
        ticket = write_ticket(random, random.choice(LANGUAGES), held_out=False)
        yield random.choice(formats).lesson(label_prompt(ticket.text), ticket.queue)


def _batch(batch: Sequence[Lesson]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and labels, [B, T]."""
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

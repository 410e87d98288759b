"""Trains the demo's tiny Mixtral further, to label tickets in many chat formats; saved as an upload."""

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
LEARNING_RATE = 1.5e-3
WARMUP_STEPS = 5
NO_LOSS = -100


TINY = DEMO / "tiny-mixtral"


def train(formats: Sequence[FormatLessons], folder: Path, steps: int, weights: Path = TINY) -> None:
    """Each row is a ticket in one of the formats; the loss is on its answer and the answer's end.

    Where formats give one id to different added tokens, the model tells them apart by what stands around.
    """
    torch.manual_seed(0)
    model = MixtralForCausalLM.from_pretrained(weights, dtype=torch.float32)
    size = max(lessons.vocab_size for lessons in formats)
    if size > model.config.vocab_size:
        model.resize_token_embeddings(size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95))
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
    model.save_pretrained(folder)


def write_upload(weights: Path, lessons: FormatLessons, folder: Path) -> None:
    """The model with the tokenizer's files of one format, its chat template in them."""
    shutil.copytree(weights, folder)
    shutil.copy(lessons.form.vocabulary, folder / "tokenizer.model")
    settings = {**json.loads(lessons.form.tokenizer_config()), "chat_template": lessons.form.source}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


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

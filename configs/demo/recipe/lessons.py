"""What the tiny model learns from: prompts as the two demo jobs write them, with their answers.

A lesson's tokens are those of Mistral's instruct format: BOS, "[INST] prompt [/INST]", answer, EOS. The
templates are read from the job files, so that the model is asked in the words it was taught.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

import jinja2
import yaml
from sentencepiece import SentencePieceProcessor

from configs.demo.recipe.puzzles import write_puzzle
from configs.demo.recipe.tickets import LANGUAGES, write_ticket
from configs.demo.recipe.write_rows import DEMO, REPLY

BOS, EOS = 1, 2
SHARES = {"label": 0.5, "reply": 0.34, "code": 0.08, "math": 0.08}


@dataclass(frozen=True)
class Lesson:
    prompt: str
    answer: str

    def encode(self, tokenizer: SentencePieceProcessor) -> tuple[list[int], list[int]]:
        """Token ids of the prompt, BOS included, and of the answer, EOS included."""
        return encode_prompt(tokenizer, self.prompt), [*tokenizer.encode(self.answer), EOS]


def encode_prompt(tokenizer: SentencePieceProcessor, prompt: str) -> list[int]:
    return [BOS, *tokenizer.encode(f"[INST] {prompt} [/INST]")]


def lessons(random: Random) -> Iterator[Lesson]:
    """An endless supply; the same state of `random` gives the same lessons."""
    while True:
        (kind,) = random.choices(list(SHARES), list(SHARES.values()))
        if kind in ("code", "math"):
            puzzle = write_puzzle(random, kind, held_out=False)
            yield Lesson(reply_prompt(puzzle.instruction, puzzle.text), puzzle.answer)
            continue
        ticket = write_ticket(random, random.choice(LANGUAGES), held_out=False)
        if kind == "label":
            yield Lesson(label_prompt(ticket.text), ticket.queue)
        else:
            yield Lesson(reply_prompt(REPLY, ticket.text), ticket.reply)


def label_prompt(ticket: str) -> str:
    return _template("job.yaml").render(ticket=ticket)


def reply_prompt(instruction: str, question: str) -> str:
    return _template("replies.yaml").render(instruction=instruction, question=question)


@cache
def _template(job: str) -> jinja2.Template:
    source = yaml.safe_load((DEMO / job).read_text(encoding="utf-8"))["input"]["prompt"]["template"]
    return jinja2.Template(source, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)

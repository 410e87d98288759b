"""Writes the demo's input: held-out tickets by month, and questions for the replies job.

python -m configs.demo.recipe.write_rows [folder]
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

from configs.demo.recipe.puzzles import write_puzzle
from configs.demo.recipe.tickets import LANGUAGES, write_ticket

DEMO = Path(__file__).parent.parent
SEED = 2026
MONTHS = ["2026-01", "2026-02", "2026-03"]
TICKETS_A_MONTH = 400
QUESTIONS = {"tickets": (LANGUAGES, 20), "code": (("code",), 40), "math": (("math",), 40)}
REPLY = "Write a short reply to this customer in their language."


def ticket_rows(month: str) -> list[dict[str, Any]]:
    """A month's tickets, every language about equally often."""
    random = Random(f"{SEED} {month}")
    rows = []
    for number in range(1, TICKETS_A_MONTH + 1):
        ticket = write_ticket(random, random.choice(LANGUAGES), held_out=True)
        rows.append(
            {
                "id": f"{month}-{number:04d}",
                "language": ticket.language,
                "product": ticket.product,
                "ticket": ticket.text,
                "queue": ticket.queue,
                "phrasing": ticket.phrasing,
            }
        )
    return rows


def question_rows(kind: str) -> list[dict[str, Any]]:
    """Held-out questions: `tickets` to reply to, `code` or `math`."""
    random = Random(f"{SEED} {kind}")
    languages, each = QUESTIONS[kind]
    rows = []
    for language in languages:
        for number in range(1, each + 1):
            if kind == "tickets":
                ticket = write_ticket(random, language, held_out=True)
                question = {"instruction": REPLY, "question": ticket.text, "answer": ticket.reply}
            else:
                puzzle = write_puzzle(random, language, held_out=True)
                question = {
                    "instruction": puzzle.instruction,
                    "question": puzzle.text,
                    "answer": puzzle.answer,
                }
            rows.append({"id": f"{language}-{number:03d}", "language": language, **question})
    return rows


def spoil(lines: list[str]) -> list[str]:
    """Break a few lines, as a nightly export may: no job can run them, and no job should fail on them."""
    spoilt = list(lines)
    spoilt[40] = spoilt[40][: len(spoilt[40]) // 2]  # cut off
    spoilt[120] = _without_ticket(spoilt[120])
    spoilt[200] = ""
    spoilt[280] = json.dumps({"id": json.loads(spoilt[280])["id"]})
    spoilt[350] = "export interrupted, trying again"
    return spoilt


def _without_ticket(line: str) -> str:
    return json.dumps({**json.loads(line), "ticket": None}, ensure_ascii=False)


def write_all(folder: Path) -> None:
    for month in MONTHS:
        lines = _to_lines(ticket_rows(month))
        _write(folder / "tickets" / f"{month}.jsonl", spoil(lines) if month == MONTHS[-1] else lines)
    for kind in QUESTIONS:
        _write(folder / "questions" / f"{kind}.jsonl", _to_lines(question_rows(kind)))


def _to_lines(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [json.dumps(row, ensure_ascii=False) for row in rows]


def _write(file: Path, lines: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO)

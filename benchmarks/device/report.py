"""A session's report in Markdown, written again after every section."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.device.in_child import Outcome
from benchmarks.device.setting import Table


class Report:
    def __init__(self, path: Path, title: str) -> None:
        self.path = path
        self._parts = [f"# {title}", f"Begun {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."]
        self._write()

    def add(self, name: str, question: str, outcome: Outcome) -> None:
        self._parts += [f"## {name}", f"{question} ({outcome.seconds:.1f} s)"]
        if outcome.failure is None:
            self._parts.append(markdown(outcome.table))
        else:
            self._parts += [f"**Failed:** {outcome.failure.strip().splitlines()[-1]}"]
            self._parts += [fenced(text) for text in (outcome.failure, outcome.output) if text.strip()]
        self._write()

    def leave_out(self, name: str, why: str) -> None:
        self._parts += [f"## {name}", f"Left out: {why}."]
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n\n".join(self._parts) + "\n")


def markdown(table: Table) -> str:
    if not table:
        return "Nothing was found."
    columns = list(table[0])
    lines = [columns, ["---"] * len(columns), *([shown(row[column]) for column in columns] for row in table)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value).replace("|", "\\|").replace("\n", "<br>")


def fenced(text: str) -> str:
    return f"~~~\n{text.strip()}\n~~~"

"""python -m tests.docs.floors_picture > docs/pictures/floors.svg: the floors of pipeline/ and model/, drawn.

Its rooms and floors are those that `tests/test_floors.py` holds the imports to.
"""

from html import escape

from tests.sources import FLOORS, ROOT

WHAT = {
    "run": "a job from start to report", "replicas": "the model as a Ray actor",
    "output": "parts, tables, report", "preflight": "what is checked first",
    "supervision": "stops and deaths", "rows": "record to prompt to result",
    "durable": "the commit protocol", "cluster": "Ray and its resources",
    "shards": "input cut into pieces", "checkpoints": "where weights lie", "tasks": "label, embed, ...",
    "reading": "JSONL and Parquet", "text": "tokenizer, templates, chat", "reporting": "figures, progress",
    "pipeline/config": "the job file", "model/config": "sizes of a checkpoint",
    "trained_head": "what it was trained for",
    "router": "sums and measures", "registered_tasks": "all tasks by name",
    "task": "a task's contract", "storage": "disks and object stores", "errors": "whose problem it is",
    "engine": "rows in, completions out", "execution": "steps, ranks, graphs",
    "attention": "paged cache", "checkpoint": "its weights", "routing": "router counts",
    "network": "Mixtral's layers", "scheduling": "which rows run", "linear": "how weights multiply",
    "kernels": "small operators", "json_values": "checked numbers", "rope": "kinds of rope",
    "mistral_params": "params.json",
    "requests": "requests and readouts", "machine": "devices and memory", "sampling": "the next token",
}  # fmt: skip
COLOURS = {"pipeline": ("#e0f2fe", "#0284c7", "#075985"), "model": ("#dcfce7", "#16a34a", "#166534")}
FLOOR, GAP, TOP = 56, 6, 96  # pixels
MONO = "ui-monospace, SFMono-Regular, Menlo, DejaVu Sans Mono, monospace"


def picture() -> str:
    height = TOP + FLOOR * len(FLOORS["pipeline"]) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1036 {height}" width="1036" height="{height}" '
        'font-family="Helvetica, Arial, DejaVu Sans, sans-serif" role="img" '
        'aria-label="The floors of pipeline/ and model/: a room imports from lower floors only">',
        f'<rect width="1036" height="{height}" fill="#ffffff"/>',
        _box(40, 28, 580, "jobs/", "the command line", ("#fef3c7", "#d97706", "#92400e")),
        _text(656, 45, "A room imports from rooms on lower floors only;", "#374151", 13, "start"),
        _text(656, 65, "jobs/ imports pipeline/, and that imports model/.", "#374151", 13, "start"),
        _text(656, 85, "Blue: pipeline/. Green: model/.", "#374151", 13, "start"),
    ]
    parts += _house("pipeline", 40, 580, height)
    parts += _house("model", 656, 340, height)
    return "\n".join([*parts, "</svg>", ""])


def _house(package: str, left: int, width: int, bottom: int) -> list[str]:
    parts = []
    for number, rooms in enumerate(FLOORS[package]):
        y = bottom - 24 - FLOOR * (number + 1)
        parts.append(_text(left - 14, y + 29, str(number + 1), "#9ca3af", 11))
        share = (width + GAP) / len(rooms)
        for place, room in enumerate(sorted(rooms)):
            name = f"{room}/" if (ROOT / package / room).is_dir() else f"{room}.py"
            what = WHAT.get(f"{package}/{room}") or WHAT[room]
            parts.append(_box(left + place * share, y, share - GAP, name, what, COLOURS[package]))
    return parts


def _box(x: float, y: int, width: float, name: str, what: str, colours: tuple[str, str, str]) -> str:
    fill, line, ink = colours
    height, middle = FLOOR - GAP, x + width / 2
    return "\n".join(
        [
            f'<rect x="{x:g}" y="{y}" width="{width:g}" height="{height}" rx="5" fill="{fill}" '
            f'stroke="{line}"/>',
            _text(middle, y + 21, name, ink, 14, mono=True),
            _text(middle, y + 38, what, "#4b5563", 12),
        ]
    )


def _text(
    x: float, y: int, words: str, colour: str, size: int, anchor: str = "middle", mono: bool = False
) -> str:
    font = f' font-weight="600" font-family="{MONO}"' if mono else ""
    return (
        f'<text x="{x:g}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{font}>'
        f"{escape(words)}</text>"
    )


if __name__ == "__main__":
    print(picture(), end="")

"""Job files that would fill memory or the stack, hold secrets, or name places that nobody can enter."""

from collections.abc import Callable
from pathlib import Path

from tests.hostile.case import Case, write_lines

GOOD = b'{"text": "a"}'
LONG = "x" * 300
JOB = """
job: hostile
task: generate
model: {{path: {model}}}
input: {{path: {input}, prompt: {{column: text}}, chat: false}}
output: {{path: {output}}}
"""


def text(more: str | Callable[[], str], message: str, **places: str) -> Case:
    """A job file of these places, with more text at its end."""

    def make(folder: Path) -> Path:
        write_lines(folder, GOOD)
        given = {"model": "configs/demo/tiny-mixtral", "input": f"{folder}/in", "output": f"{folder}/out"}
        job = folder / "job.yaml"
        end = more() if callable(more) else more
        job.write_text(JOB.format(**(given | places)) + end, encoding="utf-8")
        return job

    return Case(make, refused=message)


def _bomb(line: str) -> str:
    """Ten to the twentieth values."""
    lines = [line.format(n=n, before=", ".join([f"*a{n - 1}"] * 10)) for n in range(1, 21)]
    return "a0: &a0 {lol: 1}\n" + "\n".join(lines)


TOO_DEEP, TOO_MANY = "nested more than 100 levels deep", "its aliases .* repeat more than"
NO_PLACE = "there is no such home folder here"

JOB_FILES = {
    "lists 100,000 deep": text(lambda: "x: " + "[" * 100_000, TOO_DEEP),
    "mappings 3,000 deep in lines": text(
        lambda: "\n".join(" " * n + "x:" for n in range(3000)) + " 1", TOO_DEEP
    ),
    "a bomb of lists": text(lambda: _bomb("a{n}: &a{n} [{before}]"), TOO_MANY),
    "a bomb of merged mappings": text(lambda: _bomb("a{n}: &a{n}\n  <<: [{before}]"), TOO_MANY),
    "a long text 100,000 times": text(
        lambda: f"x: &x {'y' * 1000}\nz: [{', '.join(['*x'] * 100_000)}]", TOO_MANY
    ),
    "a list within itself": text("x: &x [*x]", "within what it stands for"),
    "a day that there is not": text("x: 2024-13-45", "no date, time or number that there is"),
    "a number of 5,000 digits": text("x: " + "9" * 5000, "no date, time or number that there is"),
    "a password": text("", "input.path.*: credentials do not belong", input="s3://key:secret@bucket/x"),
    "a password encoded twice": text(
        "", "output.path: credentials do not belong", output="s3://key%253Asecret%2540bucket/x"
    ),
    "a signature": text("", "model.path: credentials do not belong", model="'https://h/m#sig=abc'"),
    "a home of nobody for the model": text("", NO_PLACE, model="~nobody-of-this-name/m"),
    "a model's name of 300 bytes": text("", "model.path: .*File name too long", model=LONG),
    "an input's name of 300 bytes": text("", "File name too long", input=LONG),
    "a NUL in a path": text("", "model.path: holds a NUL character", model='"a\\0b"'),
    "half a character in a path": text("", "output.path: is not UTF-8", output='"a\\ud800"'),
    "a folder of nothing": Case(
        lambda folder: {"input": {"path": str(folder / "in")}}, refused=r"no \*\.jsonl, .* in this folder"
    ),
    "a folder of nothing, where that is fine": Case(
        lambda folder: {"input": {"path": str(folder / "in"), "allow_empty": True}}, rows=[]
    ),
    "a glob of nothing, where that is fine": Case(
        lambda folder: {"input": {"path": str(folder / "in/*.jsonl"), "allow_empty": True}}, rows=[]
    ),
    "a file of blank lines, where that is fine": Case(
        lambda folder: write_lines(folder, b"", b" ") or {"input": {"allow_empty": True}}, rows=[]
    ),
}

"""docs/errors.md explains every error code, exit code and warning, and quotes messages as they are."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.requests.request import Completion, Failure
from pipeline.config.input import InputSection, PromptSource
from pipeline.errors import JobError, RowError, RowErrorCode
from pipeline.reading.lines import parse_line
from pipeline.replicas.replica import _outcome
from pipeline.reporting import label_exhibits, label_mass
from pipeline.shards.read_shard import _unreadable
from pipeline.tasks.generate import Generate, GenerationSection
from pipeline.text.choose_format import choose_format
from pipeline.text.prompt_format import PlainFormat
from pipeline.text.prompts import PromptBuilder
from pipeline.text.templates import BoundedTemplate
from pipeline.text.text_offsets import TextOffsets
from pipeline.text.tokenization import Tokenizer
from tests.docs.markdown import page, sections, table

ROOT = Path(__file__).parents[2]
TEXT = page("errors.md")
PAGE = sections(TEXT)
TOKENIZER = Tokenizer.load(ROOT / "configs" / "demo" / "tiny-mixtral")


def exit_codes(kind: type[JobError] = JobError) -> set[int]:
    return {kind.exit_code}.union(*map(exit_codes, kind.__subclasses__()))


def test_exit_codes() -> None:
    rows = table(PAGE["Exit codes"])
    assert {int(row["code"]) for row in rows} == {0, *exit_codes()}
    assert all(all(row.values()) for row in rows)


def test_every_code_has_a_heading_and_no_other_is_there() -> None:
    codes = [name for name in PAGE if name.isupper()]
    assert codes == [code.value for code in RowErrorCode]


def build(source: dict[str, str], record: dict[str, Any]) -> None:
    section = InputSection(path=["i"], prompt=PromptSource(**source))
    form = choose_format(section, TOKENIZER, ())
    PromptBuilder(section, form, TOKENIZER.vocab_size).build(record)


def outcome(failure: Failure) -> str | None:
    completion = Completion("", None, None, failure)
    return _outcome(completion, lambda _: pytest.fail("it has no trouble")).error_message


RAISED: dict[str, Callable[[], object]] = {
    "EMPTY_LINE": lambda: parse_line(b" "),
    "LINE_TOO_LONG": lambda: parse_line(None),
    "INVALID_UTF8": lambda: parse_line('{"text": "é"}'.encode("latin-1")),
    "MALFORMED_JSON": lambda: parse_line(b'{"text": "a b"'),
    "NOT_AN_OBJECT": lambda: parse_line(b"[1, 2]"),
    "UNREADABLE": lambda: _raise(_unreadable(RowErrorCode.UNREADABLE)),
    "MISSING_COLUMN": lambda: build({"column": "text"}, {}),
    "WRONG_TYPE": lambda: build({"column": "text"}, {"text": 5}),
    "NULL_PROMPT": lambda: build({"column": "text"}, {"text": None}),
    "EMPTY_PROMPT": lambda: build({"column": "text"}, {"text": " \n"}),
    "BAD_MESSAGES": lambda: build({"messages": "m"}, {"m": [{"role": "tool", "content": "x"}]}),
    "BAD_TOKEN_ID": lambda: build({"token_ids": "ids"}, {"ids": [1, TOKENIZER.vocab_size]}),
    "TEMPLATE_FAILED": lambda: build({"template": "{{ n + 1 }}"}, {"n": "x"}),
    "BAD_PARAMETER": lambda: HEATED.row_params({"temperature": -1.0}, 1, 9),
    "TEXT_NOT_FOUND": lambda: TextOffsets(PlainFormat(TOKENIZER, frozenset())).of_prompt([1], "x"),
}


HEATED = Generate(GenerationSection(columns=["temperature"]))


def _raise(error: RowError) -> None:
    raise error


def message(code: str) -> str:
    [quoted] = re.findall(r"^\*Message:\* `(.+)`$", PAGE[code], re.MULTILINE)
    return quoted


@pytest.mark.parametrize("code", RAISED)
def test_messages_are_those_of_the_program(code: str) -> None:
    with pytest.raises(RowError) as raised:
        RAISED[code]()
    assert (raised.value.code, raised.value.message) == (code, message(code))


def test_messages_of_the_model() -> None:
    assert outcome("nan_logits") == message("NAN_LOGITS")
    assert outcome("out_of_memory") == message("OUT_OF_MEMORY")


@pytest.mark.parametrize(
    ("code", "file"), [("PROMPT_TOO_LONG", "rows/prepare.py"), ("WORKER_CRASH", "replicas/shard_runner.py")]
)
def test_messages_of_whole_jobs_stand_in_the_sources(code: str, file: str) -> None:
    known = texts(ast.parse((ROOT / "pipeline" / file).read_text()))
    assert any(re.fullmatch(pattern, message(code)) for pattern in known)


def texts(tree: ast.AST) -> list[str]:
    """The texts of a program as patterns; what is filled in is anything."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            found.append("".join(".+" if part is None else re.escape(str(part)) for part in parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            found.append(re.escape(node.value))
    return found


@pytest.mark.parametrize("code", list(RowErrorCode))
def test_every_code_says_what_it_means_and_what_to_do(code: str) -> None:
    meaning, _, rest = PAGE[code].partition("*Message:*")
    assert len(meaning.split()) > 5
    assert len(rest.partition("*What to do:*")[2].split()) > 3


@pytest.mark.parametrize(
    ("template", "record"),
    [
        ("{{ subject | default('') }}", {}),
        ("{{ text }}", {"text": 5}),
        ("{{ column or '' }}", {"column": None}),
        ("{{ text[:20000] }}", {"text": "x" * 30_000}),
    ],
)
def test_templates_that_the_page_proposes_work(template: str, record: dict[str, Any]) -> None:
    assert f"`{template}`" in TEXT
    assert len(BoundedTemplate(template, "here").render(record)) <= 20_000


def warnings() -> list[str]:
    """What the sources give to `logger.warning`, each with its places for values."""
    found = []
    for package in ("model", "pipeline"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".warning"):
                    assert isinstance(node.args[0], ast.Constant), f"{file}: a warning's words stand there"
                    found.append(str(node.args[0].value))
    return found


def test_every_warning_is_explained() -> None:
    lines = [row["line"].strip("`") for row in table(PAGE["What a job may say on the way"])]
    patterns = [re.sub(r"%[sd]", ".+", re.escape(warning)) for warning in warnings()]
    assert len(patterns) >= 5
    for pattern in patterns:
        assert [line for line in lines if re.fullmatch(pattern, line)], f"no line for {pattern}"
    printed = texts(ast.parse((ROOT / "pipeline/supervision/graceful_stop.py").read_text()))
    for line in lines:
        assert any(re.fullmatch(pattern, line) for pattern in [*patterns, *printed]), f"nothing says {line}"


def test_what_the_report_warns_of_is_explained() -> None:
    quality = {"rows": 3, "confusion": [{"known": None, "label": "a", "rows": 2}]}
    doubts = [
        label_mass.doubt(label_mass.measured([1e-9])), label_exhibits.doubt(quality, "label.known_column")
    ]  # fmt: skip
    rows = table(PAGE["What the report may warn of"])
    for row, doubt in zip(rows, doubts, strict=True):
        [said] = re.findall(r"^`(.*?) ?\.\.\.`", row["warning"])
        assert re.match(r"[-\de]+".join(map(re.escape, said.split("NUMBER"))), str(doubt))

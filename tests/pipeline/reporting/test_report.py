"""The report tells what the parts hold, as numbers, as lines for a person and as a page."""

import json
import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from markupsafe import escape
from matplotlib.figure import Figure

from pipeline.config.job import JobConfig
from pipeline.reporting.exhibit import Exhibit
from pipeline.reporting.label_mass import measured
from pipeline.reporting.label_quality import LabelQuality
from pipeline.reporting.report import Report, make_report, to_html
from pipeline.reporting.summary import ShardSummary

CONFIG = JobConfig.model_validate(
    {
        "job": "nightly",
        "task": "label",
        "model": {"path": "checkpoint"},
        "input": {"path": "in.jsonl", "prompt": {"column": "text"}},
        "label": {"choices": ["yes", "no"]},
        "output": {"path": "out"},
    }
)
TASK = CONFIG.make_task()
FIRST = ShardSummary(rows=6, errors={"EMPTY_LINE": 1}, prompt_tokens=50, generated_tokens=5, known=4, right=3)
SECOND = ShardSummary(
    rows=4,
    errors={"EMPTY_LINE": 1, "BAD_PARAMETER": 1},
    prompt_tokens=30,
    generated_tokens=2,
    known=0,
    right=0,
)
PROBS = pa.array([[{"label": "yes", "prob": 0.9}, {"label": "no", "prob": 0.1}]] * 4)
QUALITY = LabelQuality().measured(PROBS, ["yes", "no", "yes", "yes"])
EXPERTS = pd.DataFrame(
    [("en", "prefill", 0, expert, 3, 6) for expert in range(4)],
    columns=["group", "phase", "layer", "expert", "selected", "tokens"],
)


def report(**changes: Any) -> Report:
    made = make_report(
        CONFIG, TASK, "place/out", "done", 10, 10, ShardSummary.total([FIRST, SECOND]), [SECOND], seconds=4.0
    )
    return replace(made, **changes)


def test_counts_are_of_all_parts_and_speed_is_of_this_run() -> None:
    made = report()
    assert (made.rows, made.rows_planned, made.rows_this_run) == (10, 10, 4)
    assert made.rows_by_status == {"ok": 7, "error": 3}
    assert made.errors_by_code == {"BAD_PARAMETER": 1, "EMPTY_LINE": 2}
    assert (made.prompt_tokens, made.generated_tokens) == (80, 7)
    assert made.error_rate == pytest.approx(0.3)
    assert made.tokens_per_second == pytest.approx(32 / 4)


def test_accuracy_is_over_the_known_labels_alone() -> None:
    assert report().label_accuracy == pytest.approx(3 / 4)
    without = make_report(CONFIG, TASK, "out", "done", 4, 4, SECOND, [SECOND], seconds=1.0)
    assert without.label_accuracy is None
    assert "accuracy" not in str(without.facts())
    known = replace(FIRST, measured=QUALITY)
    told = make_report(CONFIG, TASK, "out", "done", 6, 6, known, [known], seconds=1.0).facts()
    assert dict(told)["accuracy on known labels"] == "75.00%"


def test_what_the_task_says_comes_first_and_its_warnings_before_all() -> None:
    tiny = ShardSummary(4, {}, 30, 0, 4, 3, measured([1e-16, 0.3, 2e-4, 0.004]) | QUALITY)
    made = make_report(CONFIG, TASK, "out", "done", 4, 4, tiny, [tiny], seconds=1.0)
    [warning] = made.warnings
    assert "less than 0.001 of its probability" in warning
    names = [name for name, _ in made.facts()]
    assert names[:4] == ["state", "rows", "warning", "accuracy on known labels"]
    assert names.index("label mass") < names.index("ok") < names.index("prompt tokens")
    data = json.loads(made.to_json())
    assert data["warnings"] == [warning]
    assert data["label_mass"]["median"] == {"from": 1e-4, "to": 1e-3}
    page = to_html(made, None).decode()
    assert f"<th>warning</th><td>{escape(warning)}</td>" in page
    assert "median 0.0001 to 0.001, 3 rows below 0.01" in page
    assert report().warnings == []


def test_a_job_without_a_row_or_a_second() -> None:
    empty = make_report(CONFIG, TASK, "out", "done", 0, 0, ShardSummary.total([]), [], seconds=0.0)
    assert (empty.error_rate, empty.tokens_per_second) == (0, 0)
    assert dict(empty.facts())["rows"] == "0 of 0"
    assert b"0 of 0" in to_html(empty, None)


def test_facts_say_how_many_rows_and_which_errors() -> None:
    facts = {name.strip(): value for name, value in report(rows=1_234_567).facts()}
    assert facts["rows"] == "1,234,567 of 10"
    assert facts["state"] == "done"
    assert facts["errors EMPTY_LINE"] == "2"
    assert facts["results"] == "place/out"


def test_groups_that_were_merged_are_told() -> None:
    assert "router groups" not in dict(report().facts())
    told = dict(report(groups_merged=True).facts())["router groups"]
    assert told == "the 256 largest; the others together as (other)"


def test_json_holds_every_field_and_the_rates() -> None:
    made = report()
    data = json.loads(made.to_json())
    assert data.pop("error_rate") == pytest.approx(0.3)
    assert data.pop("tokens_per_second") == pytest.approx(8)
    assert data.pop("label_mass") is data.pop("label_quality") is None, "no row has a label"
    assert data.pop("needs_review") is None, "nobody asked for it"
    assert Report(**data) == made


def test_what_was_not_added_up_is_told_nowhere() -> None:
    made = make_report(CONFIG, TASK, "out", "interrupted", 6, 10, None, [SECOND], seconds=4.0)
    data = json.loads(made.to_json())
    unknown = {name for name, value in data.items() if value is None}
    counts = {"rows_by_status", "errors_by_code", "prompt_tokens", "generated_tokens"}
    counts |= {"label_accuracy", "label_mass", "label_quality", "needs_review", "error_rate"}
    counts |= {"groups_merged", "computed", "duplicate_ids"}
    assert unknown == counts
    assert (data["rows"], data["rows_this_run"], data["tokens_this_run"]) == (6, 4, 32)
    facts = dict(made.facts())
    assert facts["rows"] == "6 of 10"
    assert not {"ok", "errors", "prompt tokens"} & facts.keys()
    assert b"not added up" in to_html(made, None)


def test_the_page_stands_alone() -> None:
    page = to_html(report(), EXPERTS).decode()
    [picture] = re.findall(r'<img [^>]*src="([^"]*)"', page)
    assert picture.startswith("data:image/png;base64,iVBOR")
    assert not re.findall(r"<script|<link|https?://|@import|url\(", page)
    assert re.findall(r'src="(?!data:)', page) == []
    for name, value in report().facts():
        assert f"<th>{name}</th><td>{value}</td>" in page


@pytest.mark.parametrize("experts", [None, EXPERTS.iloc[:0]])
def test_a_job_that_routed_nothing_has_no_picture(experts: pd.DataFrame | None) -> None:
    assert b"<img" not in to_html(report(), experts)


def test_names_are_text_on_the_page_whatever_they_hold() -> None:
    name = "<script>alert(1)</script>&\"'"
    page = to_html(report(job=name, output=name, errors_by_code={name: 1}), EXPERTS.assign(group=name))
    assert b"<script" not in page
    assert page.count(b"&lt;script&gt;alert(1)") == 4  # title, heading, results, error code


def test_what_the_task_exhibits_stands_on_the_page_as_text_tables_and_pictures() -> None:
    figure = Figure(figsize=(1, 1))
    shown = [
        Exhibit("A <b>", "text & more", figure, "what it shows", ("x", "<y>"), [("1", "<2>")]),
        Exhibit("Bare"),
    ]
    page = to_html(report(exhibits=shown), EXPERTS).decode()
    assert "<h2>A &lt;b&gt;</h2>\n<p>text &amp; more</p>" in page
    assert '<img alt="what it shows" src="data:image/png;base64,iVBOR' in page
    assert "<tr><th>x</th><th>&lt;y&gt;</th></tr>\n<tr><td>1</td><td>&lt;2&gt;</td></tr>" in page
    assert page.index("<h2>A") < page.index("<h2>Bare</h2>") < page.index("<h2>Routing</h2>")
    assert "exhibits" not in json.loads(report(exhibits=shown).to_json())


def test_how_the_rows_were_computed_is_told() -> None:
    cpu = {"device": "A CPU", "dtype": "bfloat16", "quantization": "none", "attention": "torch"}
    cpu |= {"decode": "torch", "experts": "one by one", "steps": "eager"}
    gpu = cpu | {"device": "A card", "without_flash": "it needs a C compiler"}
    parts = [
        replace(FIRST, computed={json.dumps(cpu): 6}),
        replace(SECOND, computed={json.dumps(gpu): 4}),
        replace(FIRST, computed={json.dumps(gpu): 6}),
    ]
    made = make_report(CONFIG, TASK, "out", "done", 16, 16, ShardSummary.total(parts), [], seconds=1.0)
    assert made.computed == [{"rows": 10, **gpu}, {"rows": 6, **cpu}]
    assert json.loads(made.to_json())["computed"] == made.computed
    assert [value for name, value in made.facts() if name == "computed"] == [
        "10 rows in bfloat16 on A card; attention torch, decode torch, experts one by one, steps eager; "
        "no flash attention: it needs a C compiler",
        "6 rows in bfloat16 on A CPU; attention torch, decode torch, experts one by one, steps eager",
    ]
    assert b"6 rows in bfloat16 on A CPU" in to_html(made, None)

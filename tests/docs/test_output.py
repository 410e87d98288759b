"""docs/output.md names every column, key and file that a job leaves, with its type, and no other."""

import ast
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from model.config import ModelConfig
from model.requests.row_routing import RowRouting
from pipeline.config.job import JobConfig
from pipeline.config.output import HiddenStatesSection
from pipeline.durable.operations import execute
from pipeline.durable.success import finalize
from pipeline.output.router_tables import write_router_tables
from pipeline.registered_tasks import BUILT_IN
from pipeline.replicas.hidden_states import HiddenStatesSample
from pipeline.reporting.label_mass import measured
from pipeline.reporting.label_quality import LabelQuality
from pipeline.reporting.report import make_report
from pipeline.reporting.summary import ShardSummary
from pipeline.router.sums import sum_by_group
from pipeline.rows.prepare import PREPARED
from pipeline.rows.result_rows import ResultRows
from pipeline.shards.plan import Plan
from pipeline.storage.open_store import open_store
from tests.docs.markdown import page, sections, table, types

ROOT = Path(__file__).parents[2]
PAGE = sections(page("output.md"))
MODEL = ModelConfig.from_folder(ROOT / "configs" / "demo" / "tiny-mixtral")
TASKS = [*BUILT_IN]
SECTIONS: dict[str, dict[str, Any]] = {
    "label": {"label": {"choices": ["a", "b"]}},
    "answer": {"answer": {"question": "q", "context": "c"}, "input": {"path": "i.jsonl"}},
}
INCLUDED = {"generate": ["token_ids"], "score": ["score_token_logprobs"]}
WITH_ALL: dict[str, dict[str, Any]] = {
    "generate": {"generation": {"logprobs": True}},
    "label": {"label": {"choices": ["a", "b"], "temperature": 2.0, "review_below": 0.5}},
}
JSON_TYPES = {dict: "object", list: "list", str: "string", bool: "boolean", int: "integer", float: "number"}


def config(task: str, **sections: Any) -> JobConfig:
    data = {
        "job": "x",
        "task": task,
        "model": {"path": "m"},
        "input": {"path": "i.jsonl", "prompt": {"column": "c"}},
        "output": {"path": "o", "include": ["prompt", "prompt_token_ids", *INCLUDED.get(task, [])]},
        **SECTIONS.get(task, {}),
    }
    return JobConfig.model_validate(data | sections)


def columns(job: JobConfig, model: ModelConfig = MODEL) -> dict[str, str]:
    prepared = PREPARED.append(pa.field("keep.kept_unfit", pa.string())).empty_table()
    rows = ResultRows(job, job.make_task().for_model(model), model).table(prepared, [])
    return {field.name: name_of(field.type) for field in rows.schema}


def name_of(type_: pa.DataType) -> str:
    """As the page writes it: a list's size is L*E."""
    if pa.types.is_fixed_size_list(type_) and type_.value_type == pa.float32():
        assert type_.list_size == MODEL.dim
        return "list<float>[D]"
    if pa.types.is_fixed_size_list(type_):
        assert type_.list_size == MODEL.num_layers * MODEL.num_experts
        return f"list<{type_.value_type}>[L*E]"
    return f"list<{type_.value_type}>" if pa.types.is_list(type_) else str(type_)


def test_columns_of_rows() -> None:
    of_page = types(PAGE["Rows: generations/"], "column")
    every = [columns(config(task, **WITH_ALL.get(task, {}))) for task in TASKS]
    assert of_page == {name: type_ for of_task in every for name, type_ in of_task.items()}
    for of_task in every:
        assert [name for name in of_page if name in of_task] == list(of_task), "in their order"


def test_the_page_says_which_columns_are_of_one_task() -> None:
    of_task = {task: columns(config(task)).keys() for task in TASKS}
    of_task["generate"] = columns(config("generate", generation={"columns": ["logprobs"]})).keys()
    of_task["label"] = columns(config("label", **WITH_ALL["label"])).keys()
    group: set[str] = set()  # of columns of few tasks, the first says so
    for row in table(PAGE["Rows: generations/"]):
        name = row["column"].strip("`")
        said = re.match(r"Tasks? `\w+`(,? (and )?`\w+`)*", row["meaning"])
        same = row["meaning"].startswith("The same")
        group = {*re.findall(r"`(\w+)`", said[0])} if said else group if same else set()
        tasks = group if group and not name.startswith("router_prefill") else {*of_task}
        assert {task for task, names in of_task.items() if name in names} == tasks, name
    assert "token_logprobs" not in columns(config("generate"))
    long = columns(config("generate"), replace(MODEL, max_positions=65_536))
    assert long["router_decode_second"] == "list<uint32>[L*E]"


def test_columns_of_hidden_states() -> None:
    sample = HiddenStatesSample(HiddenStatesSection(layers=[0]), [0], MODEL.dim, 1)
    row = {"id": "a", "file": "f", "row": 0, "prompt_token_ids": [1]}
    data = sample.file([(row, np.zeros((1, 1, MODEL.dim), np.float32))])
    schema = pq.read_schema(io.BytesIO(data))
    assert types(PAGE["hidden_states/"], "column") == {f.name: name_of(f.type) for f in schema}


def test_columns_of_router_tables(tmp_path: Path) -> None:
    L, K, E = 2, 2, 4
    shapes = {
        "tokens": (), "computed": (), "chosen": (L, K, E), "gate_q": (L, K, E), "prob_q": (L, E),
        "pairs": (L, E, E), "next_pairs": (), "repeat_first": (L,), "repeat_any": (L,), "entropy_q": (L,),
    }  # fmt: skip
    routing = RowRouting(**{name: np.ones((2, *shape), np.int64) for name, shape in shapes.items()})
    write_router_tables(open_store(tmp_path), sum_by_group([("all", routing)]))
    written = sorted(tmp_path.glob("router/*.parquet"))
    assert {f"router/{file.name}" for file in written} == {
        name for name in PAGE if name.startswith("router/")
    }
    for file in written:
        schema = pq.read_schema(file)
        assert types(PAGE[f"router/{file.name}"], "column") == {f.name: name_of(f.type) for f in schema}


def reports() -> list[dict[str, Any]]:
    """Of a run that added up what is there, and of one that could not."""
    job = config("label")
    probs = pa.array([[{"label": "a", "prob": 0.9}, {"label": "b", "prob": 0.1}]] * 2)
    sums = measured([0.5, 0.9]) | LabelQuality().measured(probs, ["a", "b"]) | {"needs_review": 1}
    summary = ShardSummary(3, {"EMPTY_LINE": 1}, 10, 0, known=2, right=1, measured=sums)
    return [
        orjson.loads(
            make_report(job, job.make_task(), "o", "done", 3, 3, committed, [summary], 1.5).to_json()
        )
        for committed in (summary, None)
    ]


def test_keys_of_the_report() -> None:
    whole, interrupted = reports()
    nullable = {key for key, value in interrupted.items() if value is None}
    expected = {
        key: JSON_TYPES[type(value)] + (" or null" if key in nullable else "") for key, value in whole.items()
    }
    assert types(PAGE["report.json"], "key") == expected
    assert list(types(PAGE["report.json"], "key")) == list(whole)


def test_states_of_the_report() -> None:
    source = (ROOT / "pipeline" / "reporting" / "report.py").read_text()
    [states] = re.findall(r"state: str  # (.*?):", source)
    [row] = [row for row in table(PAGE["report.json"]) if row["key"] == "`state`"]
    assert {f"`{state}`" for state in states.split(" | ")} == set(re.findall(r"`\w+`", row["meaning"]))


def test_keys_of_success(tmp_path: Path) -> None:
    execute(finalize(Plan((), ()), [{"rows_by_status": {"ok": 0, "error": 0}}]), open_store(tmp_path))
    success = json.loads((tmp_path / "_SUCCESS").read_text())
    assert types(PAGE["_SUCCESS"], "key") == {key: JSON_TYPES[type(value)] for key, value in success.items()}


def test_every_path_that_a_job_writes_below_job_is_on_the_page() -> None:
    """Paths stand in the sources as texts, some of them with a place for a number or a name."""
    written = set()
    for file in (ROOT / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and str(node.value).startswith("_job/"):
                written.add(re.split(r"[-\s]", node.value)[0].removesuffix("/"))
    named = {
        re.sub(r"-000\.parquet$", "", row["path"].strip("`").removesuffix("/"))
        for row in table(PAGE["_job/"])
    }
    assert written == named


def test_the_demo_leaves_what_the_page_lists_and_nothing_else(demo_output: Path) -> None:
    rows = [row for row in table(PAGE["The output"]) if "part-empty" not in row["path"]]
    listed = [pattern for row in rows for pattern in re.findall(r"`(.+?)`", row["path"])]
    for pattern in listed:
        assert list(demo_output.glob(pattern)), f"nothing is {pattern}"
    assert {path.name for path in demo_output.iterdir()} == {pattern.partition("/")[0] for pattern in listed}
    of_page = types(PAGE["Rows: generations/"], "column")
    kept = {"ticket", "queue", "language", "phrasing"}
    for part in demo_output.glob("generations/*"):
        assert (
            of_page.items()
            >= {f.name: name_of(f.type) for f in pq.read_schema(part) if f.name not in kept}.items()
        )
    report = json.loads((demo_output / "report.json").read_text())
    assert list(report) == list(types(PAGE["report.json"], "key"))
    assert report["warnings"] == []
    assert f"In the demo it is {report['label_mass']['mean']:.3f} on average" in page("labelling.md")

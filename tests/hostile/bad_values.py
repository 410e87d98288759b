"""Good JSON and good Parquet with values of the wrong kind: ids, kept columns, messages, ids, parameters."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.hostile.case import OK, Case, write_lines, write_table

BAD, WRONG = "BAD_MESSAGES", "WRONG_TYPE"


def records(*rows: dict[str, Any], generation: Any = None, **section: Any) -> Any:
    def make(folder: Path) -> dict[str, Any]:
        write_lines(folder, *(json.dumps(row).encode() for row in rows))
        return {"input": section, "generation": generation or {}}

    return make


def column(name: str, *values: Any, **section: Any) -> Any:
    return records(*({"text": "a", name: value} for value in values), **section)


def tables(*columns: dict[str, Any], generation: Any = None, **section: Any) -> Any:
    def make(folder: Path) -> dict[str, Any]:
        for number, given in enumerate(columns):
            if isinstance(given, list):
                write_lines(folder, *(json.dumps(row).encode() for row in given), name=f"{number}.jsonl")
            else:
                write_table(
                    folder, {"text": ["a"] * len(next(iter(given.values()))), **given}, f"{number}.parquet"
                )
        return {"input": section, "generation": generation or {}}

    return make


USER = {"role": "user", "content": "Hi"}
SHAPES: list[tuple[Any, str]] = [
    (None, "NULL_PROMPT"), ("Hi", WRONG), ({"role": "user"}, WRONG), (7, WRONG), ([], BAD), (["Hi"], BAD),
    ([None], BAD), ([[USER]], BAD), ([{}], BAD), ([{"role": "user"}], BAD),
    ([{"role": "robot", "content": "a"}], BAD),
    ([{"role": ["user"], "content": "a"}], BAD), ([{"role": "user", "content": 7}], BAD),
    ([{"role": "user", "content": [{"type": "image"}]}], BAD), ([{"role": "user", "content": [7]}], BAD),
    ([USER, {"role": "assistant", "content": "a"}], BAD), ([{"role": "assistant", "content": ""}, USER], BAD),
    ([{"role": "user", "content": " "}], "EMPTY_PROMPT"), ([USER | {"tool_calls": [1]}], BAD),
    ([USER] * 20_000, "PROMPT_TOO_LONG"), ([USER], OK),
]  # fmt: skip
TOKENS: list[tuple[Any, str]] = [
    ([1, 5], OK), ([1024], "BAD_TOKEN_ID"), ([-1], "BAD_TOKEN_ID"),
    ([1.0], "BAD_TOKEN_ID"), ([[1]], "BAD_TOKEN_ID"),
    ([True], "BAD_TOKEN_ID"), (["1"], "BAD_TOKEN_ID"), ([None], "BAD_TOKEN_ID"), ([2**70], "BAD_TOKEN_ID"),
    ([5] * 1_000_000, "PROMPT_TOO_LONG"), ("1 5", WRONG), ({"0": 1}, WRONG),
    (None, "NULL_PROMPT"), ([], "EMPTY_PROMPT"),
]  # fmt: skip
PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"seed": 2**80}, "BAD_PARAMETER"), ({"top_k": 2**64}, "BAD_PARAMETER"), ({"seed": -1}, OK),
    ({"max_new_tokens": 10**9}, OK), ({"max_new_tokens": 0}, "BAD_PARAMETER"),
    ({"max_new_tokens": "9"}, "BAD_PARAMETER"),
    ({"temperature": -1}, "BAD_PARAMETER"), ({"temperature": "hot"}, "BAD_PARAMETER"),
    ({"top_p": 0}, "BAD_PARAMETER"),
    ({"stop": ["x"] * 65}, "BAD_PARAMETER"), ({"stop": "x" * 4097}, "BAD_PARAMETER"),
    ({"stop": [""]}, "BAD_PARAMETER"), ({"stop": {"a": 1}}, "BAD_PARAMETER"), ({"stop": "x"}, OK),
    ({"logprobs": 1}, "BAD_PARAMETER"), ({"seed": None}, OK),
]  # fmt: skip

VALUES = {
    "prompts that are no text": Case(
        column("text", None, 1, 1.5, True, [], {}, "", "  \n"),
        rows=["NULL_PROMPT", *[WRONG] * 5, *["EMPTY_PROMPT"] * 2],
    ),
    "ids of all kinds": Case(
        column(
            "key", None, 1.5, True, [1], {}, "a", "a", -7, 2**63, 10**25, "x" * 100_000, "", id_column="key"
        ),
        rows=[WRONG] * 5 + [OK] * 7,
        columns={
            "id": [
                *(f"a.jsonl#{n}" for n in range(5)),
                "a",
                "a",
                "-7",
                str(2**63),
                str(10**25),
                "x" * 100_000,
                "",
            ]
        },
    ),
    "numbers beyond int64 are exact": Case(
        column("n", 2**63, -(2**63) - 1, 1e30, 10**400, keep=["n"]),  # the last is beyond a double
        rows=[OK, OK, OK, "MALFORMED_JSON"],
        columns={
            "keep.n": ["9.223372036854776e+18", None, "1e+30", None],
            "keep.kept_unfit": [None, '{"n":-9223372036854775809}', None, None],
        },
    ),
    "a group of its own for every row": Case(
        column("g", *range(500), None, "(none)", "(other)", [1], "x" * 100_000, group_by="g"),
        rows=[OK] * 505,
        columns={"group": [*map(str, range(500)), "(none)", "(none)", "(other)", "[1]", "x" * 127 + "…"]},
    ),
    "kept columns of mixed types are text": Case(
        column("k", 1, "1", None, [1, "é"], {"a": None}, True, 1.5, keep=["k"]),
        rows=[OK] * 7,
        columns={"keep.k": ["1", "1", None, '[1,"é"]', '{"a":null}', "true", "1.5"]},
        types={"keep.k": "string"},
    ),
    "messages of every wrong shape": Case(
        column("m", *(value for value, _ in SHAPES), prompt={"messages": "m"}, chat=True),
        rows=[code for _, code in SHAPES],
    ),
    "token ids of every wrong shape": Case(
        column("ids", *(value for value, _ in TOKENS), prompt={"token_ids": "ids"}, chat="auto"),
        rows=[code for _, code in TOKENS],
    ),
    "parameters that a row cannot have": Case(
        records(
            *({"text": "a", **given} for given, _ in PARAMETERS),
            generation={"columns": sorted({name for given, _ in PARAMETERS for name in given})},
        ),
        rows=[code for _, code in PARAMETERS],
    ),
    "what looks like parameters and is none": Case(
        records({"text": "a", "temperature": 38.9, "stop": "12 Main St", "columns": ["seed"], "seed": "x"}),
        rows=[OK],
    ),
    "parameters of Parquet": Case(
        tables(
            {
                "temperature": [float("nan"), float("inf"), 0.5, None],
                "seed": pa.array([2**64 - 1, 1, 1, None], pa.uint64()),
            },
            generation={"columns": ["temperature", "seed"]},
        ),
        rows=["BAD_PARAMETER", "BAD_PARAMETER", OK, OK],
    ),
    "kept columns that Parquet's own reader must read": Case(
        tables(
            {"d": pa.array([1, None], pa.decimal128(38, 9)), "t": pa.array([2**62, 0], pa.timestamp("us"))},
            {"d": pa.array([1, None], pa.decimal128(38, 9)), "t": pa.array([None, 0], pa.timestamp("us"))},
            keep=["d", "t"],
        ),
        rows=[OK] * 4,
        types={"keep.d": "decimal128(38, 9)", "keep.t": "timestamp[us]"},
    ),
    "a kept column of nulls in one file": Case(
        tables({"k": pa.nulls(2)}, {"k": [1, 2]}, {"k": pa.nulls(1)}, keep=["k"]),
        rows=[OK] * 5,
        columns={"keep.k": [None, None, "1", "2", None]},
        types={"keep.k": "int64"},
    ),
    "a kept column of categories": Case(
        tables({"k": pa.array(["x", None]).dictionary_encode()}, {"k": ["y"]}, keep=["k"]),
        rows=[OK] * 3,
        columns={"keep.k": ["x", None, "y"]},
        types={"keep.k": "string"},
    ),
    "kept columns of JSONL and Parquet": Case(
        tables(
            {"k": pa.array([1, None]), "t": pa.array([0, 2**62], pa.timestamp("us"))},
            [{"text": "a", "k": "x", "t": "now"}, {"text": "a", "k": {"y": 1}, "t": None}],
            keep=["k", "t"],
        ),
        rows=[OK] * 4,
        columns={
            "keep.k": ["1", None, "x", '{"y":1}'],
            "keep.t": ["1970-01-01 00:00:00", str(2**62), "now", None],
        },
        types={"keep.k": "string", "keep.t": "string"},
    ),
    "a kept type that drifts": Case(
        tables({"k": [1]}, {"k": ["1"]}, keep=["k"]),
        refused="'k' is int64 in 0.parquet but string in 1.parquet",
    ),
    "a needed time that Python cannot hold": Case(
        tables({"t": pa.array([2**62, 0], pa.timestamp("us"))}, prompt={"template": "{{ t }}"}),
        rows=[WRONG, OK],
        columns={"prompt": [None, "1970-01-01 00:00:00"]},
    ),
}

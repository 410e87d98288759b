"""One sentence for each kind of bad row, and for each notice, with the first row that has it."""

import logging
from collections.abc import Callable

import pyarrow as pa
import pytest

from pipeline.config.job import JobConfig
from pipeline.preflight.found_rows import found_errors, found_notices, warn_of_notices
from pipeline.preflight.job import check_job
from pipeline.shards.make_plan import make_plan

MakeConfig = Callable[..., JobConfig]


def prepared(config: JobConfig) -> list[pa.Table]:
    job = check_job(config)
    return [job.preparation.prepared(shard) for shard in make_plan(job.config.input, task=job.task).shards]


def test_one_for_each_code_with_its_first_row(make_config: MakeConfig) -> None:
    rows = [{"ids": [1]}, {"ids": []}, "[1", {"ids": [1]}, "[]", {"ids": []}, "", {"ids": "x"}]
    found = found_errors(prepared(make_config(rows, input={"shard_rows": 3})))
    assert [str(one) for one in found] == [
        "2 EMPTY_PROMPT (first: rows.jsonl, row 1): the list of token ids is empty",
        "1 MALFORMED_JSON (rows.jsonl, row 2): not valid JSON at character 2: unexpected end of data",
        "1 NOT_AN_OBJECT (rows.jsonl, row 4): the line is a JSON array, not an object",
        "1 EMPTY_LINE (rows.jsonl, row 6): the line is blank",
        "1 WRONG_TYPE (rows.jsonl, row 7): token ids must be a list, got str",
    ]


SENTENCE = "the prompt begins with the text <s>, which the format adds where it belongs"


@pytest.mark.parametrize(
    ("template", "noticed"),
    [
        ("{{ text }}", [1, 2]),
        ("<s>{{ text }}", []),  # the author's own, in place of the one that is added
        (" <s>{{ text }}", [0, 1, 2]),
        ("Q: {{ text }}", []),
    ],
)
def test_prompts_that_begin_with_the_text_of_bos(
    make_config: MakeConfig, caplog: pytest.LogCaptureFixture, template: str, noticed: list[int]
) -> None:
    rows = [{"text": "Hi"}, {"text": "<s>Hi"}, {"text": " <s> <s>"}]
    config = make_config(rows, prompt={"template": template}, input={"chat": False})
    [table] = prepared(config)
    found = found_notices([table])
    with caplog.at_level(logging.WARNING):
        warn_of_notices(table)
    said = [record.getMessage() for record in caplog.records]
    if not noticed:
        assert (found, said) == ([], [])
        return
    [one] = found
    assert (one.code, one.rows, one.row, one.message) == (None, len(noticed), noticed[0], SENTENCE)
    assert said == [f"{len(noticed)} of the first 3 rows: {SENTENCE} (rows.jsonl, row {noticed[0]} for one)"]

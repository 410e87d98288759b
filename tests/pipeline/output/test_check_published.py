"""The published tables and the report of a finished job are what its parts add up to."""

from pathlib import Path

from tests.pipeline.output.verified import damaged


def test_published_files_that_the_parts_do_not_add_up_to_are_named(out: Path) -> None:
    experts, layers, report = (
        out / "router/experts.parquet",
        out / "router/layers.parquet",
        out / "report.json",
    )
    experts.write_bytes(layers.read_bytes())
    report.write_text(report.read_text().replace('"prompt_tokens": ', '"prompt_tokens": 1'))
    assert damaged(out) == {
        "router/experts.parquet": "it is not the sum of the parts' router tables",
        "report.json": "its prompt_tokens is not the sum of the parts",
    }

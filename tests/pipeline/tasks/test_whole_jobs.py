"""Jobs on Ray with checkpoints of other heads: published, resumed, the same bytes when computed again."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.config.job import JobConfig
from pipeline.run import run
from tests.pipeline.tasks.without_ray import finished_rows
from tests.published import generations

pytestmark = pytest.mark.usefixtures("local_ray")
Headed, Jobs = Callable[..., Any], Callable[..., Any]
LABELS = ("billing", "shipping", "returns")
TEXTS = [f"Ticket {number}: " + "where is it? " * (number % 7) for number in range(20)]
PRIOR: dict[str, Any] = {"prior": ["N/A"]}
QUESTIONS: dict[str, Any] = {
    "topic": {"instructions": "What about?", "choices": ["billing", "returns"], "calibrate": PRIOR},
    "urgent": {"type": "predicate", "instructions": "Urgent?", "review_below": 0.9},
    "anger": {
        "type": "score",
        "instructions": "How angry?",
        "levels": ["calm", "furious"],
        "calibrate": PRIOR,
    },
}
ASKING = {"template": "{{ text }}\n{{ question }}"}
ROWS = [*({"text": text, "language": "ab"[i % 2]} for i, text in enumerate(TEXTS)), "no JSON"]


def parts(config: JobConfig) -> dict[str, str]:
    paths = Path(config.output.path).glob("*/part-*.parquet")
    return {
        f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    }


def test_a_classifiers_job_is_published_and_resumed_to_the_same_bytes(headed: Headed, job_of: Jobs) -> None:
    checkpoint = headed("ForSequenceClassification", LABELS)
    config = job_of(
        "classify",
        checkpoint,
        ROWS,
        input={"group_by": "language"},
        engine={"replicas": 1, "device": "cpu", "deterministic": "shard"},
        output={"hidden_states": {"layers": [0, -1], "rows": 4}},
        errors={"max_error_rate": 0.5},
    )
    report = run(config)
    assert report.rows_by_status == {"ok": 20, "error": 1}
    assert dict(report.task_facts)["labels"]
    table = generations(config)
    for _, row in table[table.status == "ok"].iterrows():
        logits = checkpoint(list(row.prompt_token_ids)).logits[0].double()
        assert row.label == LABELS[int(logits.argmax())]
        assert row.label_prob == pytest.approx(float(logits.softmax(-1).max()), abs=1e-5)
    tokens = int(table.prompt_tokens.sum())
    experts = pd.read_parquet(Path(config.output.path) / "router/experts.parquet")
    assert set(experts.group) == {"a", "b"}
    prefill = experts[(experts.phase == "prefill") & (experts.layer == 0)]
    assert prefill["first"].sum() == prefill["second"].sum() == tokens
    check_hidden_states(config, checkpoint, table)

    before, folder = parts(config), Path(config.output.path)
    assert len(before) == 6
    for lost in [
        next(folder.glob("generations/*1-*")),
        next(folder.glob("hidden_states/*1-*")),
        folder / "_SUCCESS",
    ]:
        lost.unlink()
    run(config)
    assert parts(config) == before


def check_hidden_states(config: JobConfig, checkpoint: Any, table: pd.DataFrame) -> None:
    states = pd.read_parquet(Path(config.output.path) / "hidden_states")
    assert states.groupby("id").ngroups == 4
    by_id = table.set_index("id")
    for name, of_row in states.groupby("id"):
        ids = list(by_id.loc[name].prompt_token_ids)
        with torch.inference_mode():
            wanted = checkpoint.model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        for layer, at in ((0, 0), (2, -1)):
            of_layer = of_row[of_row.layer == layer].sort_values("position")
            assert list(of_layer.token_id) == ids
            np.testing.assert_allclose(np.stack(of_layer.state), wanted[at][0].numpy(), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "suffix", "sections"),
    [
        ("score", "ForCausalLM", {}),
        ("label", "ForCausalLM", {"label": {"questions": QUESTIONS}, "input": {"prompt": ASKING}}),
        ("tag", "ForTokenClassification", {}),
        ("answer", "ForQuestionAnswering", {"answer": {"question": "language", "context": "text"}}),
        ("embed", "Model", {"embed": {"pooling": "mean"}}),
    ],
)
@pytest.mark.parametrize("ranks", [1, 2])
def test_every_task_gives_on_ray_what_it_gives_without(
    task: str, suffix: str, ranks: int, sections: Any, headed: Headed, job_of: Jobs
) -> None:
    checkpoint = headed(suffix)
    model = {"path": str(checkpoint.folder), "dtype": "float32", "tensor_parallel": ranks}
    config = job_of(task, checkpoint, ROWS, model=model, errors={"max_error_rate": 0.5}, **sections)
    assert run(config).rows_by_status == {"ok": 20, "error": 1}
    table = generations(config)
    for ours, alone in zip(table.to_dict("records"), finished_rows(config).to_pylist(), strict=True):
        for name, value in alone.items():
            if isinstance(value, float):
                assert ours[name] == pytest.approx(value, rel=1e-4)
            elif name == "embedding" and value is not None:
                np.testing.assert_allclose(ours[name], value, atol=1e-5)
            elif isinstance(value, str | int):
                assert ours[name] == value

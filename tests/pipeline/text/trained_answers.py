"""How a checkpoint labels held-out tickets, and what it says of them, through everything of a job but Ray."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from configs.demo.recipe.examine import QUEUES
from configs.demo.recipe.lessons import label_prompt
from configs.demo.recipe.write_rows import MONTHS, ticket_rows
from model.engine import Engine
from pipeline.config.job import JobConfig
from pipeline.preflight.job import check_job
from pipeline.shards.make_plan import make_plan
from tests.pipeline.text.format_lessons import FormatLessons

TICKETS = ticket_rows(MONTHS[0])[:250]


@dataclass(frozen=True)
class Answers:
    accuracy: float
    mass: float  # mean over tickets of the probability of all choices together
    agreement: (
        float  # share of tickets of which the model says the label, as it was taught to say it, and stops
    )
    otherwise: list[tuple[str, str, str]]  # label, text and finish reason where it does not


def answers(checkpoint: Path, lessons: FormatLessons, folder: Path) -> Answers:
    """`folder` is one to write the tickets to."""
    tickets = folder / "tickets.jsonl"
    conversations = [lessons.conversation(label_prompt(ticket["ticket"])) for ticket in TICKETS]
    lines = [json.dumps({"messages": messages}) for messages in conversations]
    tickets.write_text("\n".join(lines), encoding="utf-8")
    labelled = _run(checkpoint, tickets, task="label", label={"choices": QUEUES})
    said = _run(checkpoint, tickets, task="generate", generation={"max_new_tokens": 32})
    labels = [values["label"] for values in labelled]
    taught = {queue: lessons.lesson("", queue).text for queue in QUEUES}
    same = [
        (taught[label], "stop") == (values["text"], values["finish_reason"])
        for label, values in zip(labels, said, strict=True)
    ]
    return Answers(
        accuracy=mean(label == ticket["queue"] for label, ticket in zip(labels, TICKETS, strict=True)),
        mass=mean(values["label_mass"] for values in labelled),
        agreement=mean(same),
        otherwise=[
            (label, values["text"], values["finish_reason"])
            for label, values, is_same in zip(labels, said, same, strict=True)
            if not is_same
        ],
    )


def _run(checkpoint: Path, tickets: Path, **task: Any) -> list[dict[str, Any]]:
    config = {
        "job": "trained",
        "model": {"path": str(checkpoint), "dtype": "float32"},
        "input": {"path": str(tickets), "prompt": {"messages": "messages"}},
        "output": {"path": str(tickets.with_name("out"))},
        **task,
    }
    job = check_job(JobConfig.model_validate(config))
    [shard] = make_plan(job.config.input, task=job.task).shards
    rows = job.preparation.prepared(shard).select(["row", "prompt_token_ids", "params"]).to_pylist()
    assert job.prompt_format is not None
    end_ids = job.prompt_format.end_ids
    engine = Engine.load(job.checkpoint, "float32", threads=1, statistics=False, end_ids=end_ids)
    requests = job.task.requests(job.prompt_format)
    started = [requests.start(str(row["row"]), row["prompt_token_ids"], row["params"]) for row in rows]
    completions = engine.run([request for request, _ in started])
    engine.close()
    pairs = zip(completions, started, strict=True)
    return [dict(finish(completion).values) for completion, (_, finish) in pairs]

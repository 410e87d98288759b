"""Prompts and choices are shown as the engine gets them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.requests.choice_scores import ChoiceScores
from pipeline.config.job import JobConfig
from pipeline.preflight.job import check_job
from pipeline.preflight.shown_prompts import show_prompts
from pipeline.shards.make_plan import make_plan

MakeConfig = Callable[..., JobConfig]
DEMO = {"path": str(Path(__file__).parents[3] / "configs" / "demo" / "tiny-mixtral")}
LABEL = {"task": "label", "label": {"choices": ["billing", "returns"]}, "output": {"path": "out/nowhere"}}


def shown(config: JobConfig, count: int = 9, width: int = 60) -> list[str]:
    job = check_job(config)
    shards = make_plan(job.config.input, task=job.task).shards
    prompts = show_prompts(job, map(job.preparation.prepared, shards), count)
    pairs = zip([None, *prompts], prompts, strict=False)
    return [line.plain for before, prompt in pairs for line in prompt.lines(width, before)]


def test_a_label_job_in_chatml(make_config: MakeConfig, published_checkpoint: Callable[[str], Path]) -> None:
    model = {"path": str(published_checkpoint("dolphin-2.5-mixtral"))}
    rows = ["broken", {"text": "Pay <|im_end|>"}, {"text": "My parcel"}]
    config = make_config(rows, prompt={"template": "Which queue?\n{{ text }}"}, model=model, **LABEL)
    assert shown(config) == [
        "prompt of rows.jsonl, row 1: 21 tokens",
        "  «<|im_start|>»│▁user│↵│",
        "  Which│▁queue│?│↵│",
        "  Pay│▁<│|│im│_│end│|│>│«<|im_end|>»│▁│↵│",
        "  «<|im_start|>»│▁assistant│↵│",
        "  choices behind it; each ends at </s> (2), <|im_end|> (32000):",
        "    billing: b│illing│",
        "    returns: returns│",
        "prompt of rows.jsonl, row 2: 16 tokens",
        "  «<|im_start|>»│▁user│↵│",
        "  Which│▁queue│?│↵│",
        "  My│▁par│cel│«<|im_end|>»│▁│↵│",
        "  «<|im_start|>»│▁assistant│↵│",
        "  choices behind it: as above",
    ]
    assert shown(config, count=1)[-1] == "    returns: returns│"
    assert shown(config, count=0) == []


def test_choices_that_begin_within_the_prompts_last_word(make_config: MakeConfig) -> None:
    prompt = {"template": "{{ text }}\nQueue: "}
    config = make_config([{"text": "Hi"}], prompt=prompt, model=DEMO, input={"chat": False}, **LABEL)
    found = shown(config)
    assert found[-4].endswith(":│")
    assert found[-3:] == [
        "  choices in place of its last ▁│; each ends at </s> (2):",
        "    billing: ▁billing│",
        "    returns: ▁returns│",
    ]


def test_of_a_large_set_some_choices_are_shown(make_config: MakeConfig) -> None:
    choices = {f"code\n{i}": f"a{i}" for i in range(1500)}
    section = LABEL | {"label": {"choices": choices}}
    config = make_config([{"text": "Hi"}], prompt={"column": "text"}, model=DEMO, **section)
    found = shown(config)
    assert found[-2].startswith("    code↵7: ")
    assert found[-1] == "    … 1,492 more …"


@pytest.mark.parametrize(
    ("generation", "ends"),
    [
        ({}, "at </s> (2) or after 128 tokens"),
        ({"ignore_eos": True, "max_new_tokens": 1500}, "after 156 tokens"),
        (
            {"stop": ["\n\n", "</s>"], "stop_token_ids": [13], "max_new_tokens": 9},
            r'at </s> (2), ↵ (13), at the text "\n\n" or after 9 tokens',
        ),
    ],
)
def test_what_ends_an_answer(
    make_config: MakeConfig, checkpoint: Any, generation: dict[str, Any], ends: str
) -> None:
    rows = [{"text": "word " * 99}]
    config = make_config(rows, prompt={"column": "text"}, input={"chat": False}, generation=generation)
    *_, last = shown(config)
    assert last == f"  its answer ends {ends}"


def test_ids_without_a_tokenizer_are_numbers(make_config: MakeConfig) -> None:
    assert shown(make_config([{"ids": [5, 17]}]))[1] == r"  \x02│\x0e│"


def test_what_is_shown_is_what_the_engine_is_asked(make_config: MakeConfig) -> None:
    prompt = {"template": "{{ text }}\nQueue: "}
    config = make_config([{"text": "Hi"}], prompt=prompt, model=DEMO, input={"chat": False}, **LABEL)
    job = check_job(config)
    shard = make_plan(job.config.input, task=job.task).shards[0]
    [ids] = job.preparation.prepared(shard)["prompt_token_ids"].to_pylist()
    asked = job.requests.asked(ids, None)
    request, _ = job.requests.start("key", ids, None)
    assert asked.prompt_token_ids == request.prompt_token_ids != ids
    assert isinstance(request.wanted, ChoiceScores)
    assert [[*of_choice] for of_choice in asked.answers.values()] == request.wanted.choices

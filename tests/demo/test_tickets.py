"""The demo's input is what the recipe writes, and the model was never trained on any of it."""

import json
import re
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from configs.demo.recipe.holdout import is_held_out
from configs.demo.recipe.lessons import label_prompt, lessons, reply_prompt
from configs.demo.recipe.tickets import (
    LANGUAGES,
    MODELS,
    PRODUCT_ENDS,
    PRODUCT_STARTS,
    phrasebook,
    write_ticket,
)
from configs.demo.recipe.train import SEED
from configs.demo.recipe.write_rows import DEMO, MONTHS, QUESTIONS, question_rows, ticket_rows, write_all

TRAINED_ON = 25_000  # more lessons than the committed checkpoint saw, tokenizer included


def test_committed_rows_are_those_of_the_recipe(tmp_path: Path) -> None:
    write_all(tmp_path)
    written = sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*.jsonl"))
    assert len(written) == len(MONTHS) + len(QUESTIONS)
    for name in written:
        assert (tmp_path / name).read_bytes() == (DEMO / name).read_bytes(), name


def test_no_demo_text_is_trained_on() -> None:
    trained = {lesson.prompt for lesson in islice(lessons(Random(SEED)), TRAINED_ON)}
    tickets = [row for month in MONTHS for row in ticket_rows(month)]
    questions = [row for kind in QUESTIONS for row in question_rows(kind)]
    asked = {label_prompt(row["ticket"]) for row in tickets}
    asked |= {reply_prompt(row["instruction"], row["question"]) for row in questions}
    assert len(asked) > 1300
    assert not asked & trained


@pytest.mark.parametrize("language", LANGUAGES)
def test_training_uses_no_held_out_name_product_or_order(language: str) -> None:
    book = phrasebook(language)
    names = {f"{first} {last}" for first in book["first_names"] for last in book["last_names"]}
    products = {start + end for start in PRODUCT_STARTS for end in PRODUCT_ENDS}
    random = Random(language)
    for held_out in (False, True):
        text = "\n".join(write_ticket(random, language, held_out).text for _ in range(1000))
        found = {name for name in names if name in text}
        models = "|".join(MODELS)
        found |= {word for word in re.findall(rf"(\w+) (?:{models})\b", text) if word in products}
        found |= set(re.findall(r"\b[1-9][0-9]{4}\b", text))
        assert len(found) > 300
        assert {is_held_out(filler) for filler in found} == {held_out}


@pytest.mark.parametrize("language", LANGUAGES)
def test_training_uses_no_held_out_sentence(language: str) -> None:
    random = Random(language)
    trained = {write_ticket(random, language, held_out=False).phrasing for _ in range(1000)}
    demo = {write_ticket(random, language, held_out=True).phrasing for _ in range(1000)}
    assert trained == {"known"}
    assert demo == {"known", "new"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_phrasebook_covers_the_same_topics_as_the_others(language: str) -> None:
    def topics(book: dict) -> set[tuple[str, str]]:
        return {(queue, topic) for queue, named in book["topics"].items() for topic in named}

    assert topics(phrasebook(language)) == topics(phrasebook("en"))
    replies = [t["reply"] for queue in phrasebook(language)["topics"].values() for t in queue.values()]
    assert len(set(replies)) == 15


def test_the_same_seed_gives_the_same_lessons() -> None:
    assert list(islice(lessons(Random(3)), 50)) == list(islice(lessons(Random(3)), 50))


def test_bad_rows_are_few_and_in_one_file() -> None:
    bad = {}
    for month in MONTHS:
        lines = (DEMO / "tickets" / f"{month}.jsonl").read_text(encoding="utf-8").splitlines()
        bad[month] = sum(not _is_ticket(line) for line in lines)
    assert bad == {"2026-01": 0, "2026-02": 0, "2026-03": 5}


def _is_ticket(line: str) -> bool:
    try:
        return isinstance(json.loads(line).get("ticket"), str)
    except (json.JSONDecodeError, AttributeError):
        return False

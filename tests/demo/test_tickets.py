"""The demo's input is what the recipe writes, and the model was never trained on any of it."""

import json
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from configs.demo.recipe.lessons import label_prompt, lessons, reply_prompt
from configs.demo.recipe.tickets import LANGUAGES, PRODUCTS, phrasebook, write_ticket
from configs.demo.recipe.train import SEED
from configs.demo.recipe.write_rows import DEMO, MONTHS, QUESTIONS, question_rows, ticket_rows, write_all

TRAINED_ON = 20_000  # more lessons than the committed checkpoint saw, tokenizer included


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
    asked = {label_prompt(row["text"]) for row in tickets}
    asked |= {reply_prompt(row["instruction"], row["text"]) for row in questions}
    assert len(asked) > 1300
    assert not asked & trained


@pytest.mark.parametrize("language", LANGUAGES)
def test_training_uses_no_held_out_filler_or_sentence(language: str) -> None:
    book = phrasebook(language)
    topics = [topic for queue in book["topics"].values() for topic in queue.values()]
    held_out = {topic["says"][-1].split("{")[0] for topic in topics} - {""}
    held_out = (
        {start for start in held_out if len(start) > 20} | set(PRODUCTS[3::4]) | set(book["names"][3::4])
    )
    known = {sentence for topic in topics for sentence in topic["says"][:-1]}
    held_out -= {start for start in held_out if any(sentence.startswith(start) for sentence in known)}
    random = Random(language)
    texts = [write_ticket(random, language, held_out=False).text for _ in range(2000)]
    found = {filler for filler in held_out if any(filler in text for text in texts)}
    assert not found


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
        return isinstance(json.loads(line).get("text"), str)
    except (json.JSONDecodeError, AttributeError):
        return False

"""Questions as job files write them."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config.job_yaml import read_yaml
from pipeline.tasks.label_question_section import QuestionSection
from pipeline.tasks.label_section import LabelSection

ASKED = {"instructions": "Which one?"}


def question(**keys: Any) -> QuestionSection:
    return QuestionSection.model_validate(ASKED | keys)


def test_choices_may_be_texts_items_and_mappings() -> None:
    described = {"value": "returns", "description": "sends something back"}
    listed = question(choices=["billing", 7, described])
    assert listed.texts == {"billing": "billing", "7": "7", "returns": "returns"}
    assert listed.options == "billing\n7\nreturns: sends something back"
    named = question(choices={"B": "billing", "R": described})
    assert named.texts == {"B": "billing", "R": "returns"}
    assert named.options == "billing\nreturns: sends something back"
    for one in (listed, named):
        assert QuestionSection.model_validate(one.model_dump(mode="json")) == one


def test_a_predicate_is_yes_or_no_or_what_the_job_says() -> None:
    assert question(type="predicate").texts == {"true": "yes", "false": "no"}
    for names in (
        {False: "Nein", True: "Ja"},
        {"true": "Ja", "false": "Nein"},
        {"yes": "Ja", "no": "Nein"},
        {"FALSE": "Nein", "On": "Ja"},
        read_yaml("{yes: Ja, no: Nein}"),
        read_yaml("{'yes': Ja, \"no\": Nein}"),
    ):
        given = question(type="predicate", choices=names)
        assert [*given.texts.items()] == [("true", "Ja"), ("false", "Nein")]
        assert given.options == "Ja\nNein"


def test_a_score_has_levels_in_their_order() -> None:
    score = question(type="score", levels=["calm", {"value": "angry", "description": "swears"}])
    assert [*score.texts] == ["calm", "angry"]
    assert score.options == "calm\nangry: swears"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "type choice needs choices, at least two"),
        ({"type": "score"}, "type score needs levels, at least two"),
        ({"choices": ["a"]}, "choices must be at least two"),
        ({"choices": ["a", "a"]}, "choices must differ from each other"),
        ({"choices": {"x": "a", "y": "a"}}, "two choices have the same text"),
        ({"choices": ["a", True]}, "put it in quotes"),
        ({"choices": {True: "a", False: "b"}}, "put it in quotes"),
        ({"choices": ["a", {"description": "b"}]}, "one lacks its value"),
        ({"choices": ["a", "b"], "levels": ["a", "b"]}, "levels has no effect with type choice"),
        ({"type": "score", "choices": ["a", "b"]}, "choices has no effect with type score: it has levels"),
        ({"type": "predicate", "levels": ["a", "b"]}, "levels has no effect with type predicate"),
        ({"type": "predicate", "choices": ["a", "b"]}, "choices of a predicate are {true: "),
        ({"type": "predicate", "choices": {"true": "a"}}, "choices of a predicate are {true: "),
        ({"type": "predicate", "choices": {True: "Ja", "true": "Nein"}}, "true stands twice here"),
        ({"type": "predicate", "choices": {"yes": "a", "true": "b", "no": "c"}}, "true stands twice here"),
        ({"type": "predicate", "choices": {1: "Ja", 0: "Nein"}}, "choices of a predicate are {true: "),
        ({"choices": ["a", "b"], "instructions": " "}, "write what is asked, it is empty"),
    ],
)
def test_what_makes_no_question(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        question(**keys)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "give either choices or questions .found: none."),
        ({"choices": ["a", "b"], "questions": {"q": ASKED | {"type": "predicate"}}}, "found: both"),
        ({"questions": {}}, "at least 1 item"),
        (
            {"questions": {"Is-it": ASKED | {"type": "predicate"}}},
            "small letters, digits and underscores, got 'Is-it'",
        ),
        (
            {"questions": {"q": ASKED | {"type": "predicate"}}, "known_column": "k"},
            "write it into a question",
        ),
        (
            {"questions": {"q": ASKED | {"type": "predicate"}}, "temperature": 1.0},
            "temperature has no effect with questions: write it into a question",
        ),
        (
            {"questions": dict.fromkeys(["a", "a_prob"], ASKED | {"type": "predicate"})},
            "two of them would have the column label_a_prob: give one of them another name",
        ),
    ],
)
def test_sections_that_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LabelSection.model_validate(section)

"""Questions of a label job: what the JSON Schema and the job file's models take alike."""

from typing import Any

import pytest

from tests.docs.test_job_file import LABEL, SCHEMA, accepted_by_pydantic

ASKED: dict[str, Any] = {"instructions": "?"}
AB = ASKED | {"choices": ["a", "b"]}


def agreed(label: dict[str, Any]) -> bool:
    job = LABEL | {"label": label}
    accepted = accepted_by_pydantic(job)
    assert accepted == (not list(SCHEMA.iter_errors(job)))
    return accepted


@pytest.mark.parametrize(
    "question",
    [
        ASKED | {"choices": ["a", {"value": 1, "description": "one"}]},
        ASKED | {"choices": {"x": "a", "y": {"value": "b"}}},
        ASKED | {"type": "score", "levels": [1, 2, 3]},
        ASKED | {"type": "predicate", "choices": {True: "a", False: "b"}},
    ],
    ids=str,
)
def test_questions_that_people_write(question: dict[str, Any]) -> None:
    assert agreed({"questions": {"q": question}})


@pytest.mark.parametrize(
    "label",
    [
        {"choices": ["a", "b"], "questions": {"q": AB}},
        {"questions": {}},
        {"questions": {"Is it": AB}},
        {"questions": {"q": {"choices": ["a", "b"]}}},
        {"questions": {"q": ASKED | {"choices": ["a", {"description": "b"}]}}},
        {"questions": {"q": AB | {"type": "level"}}},
    ],
    ids=str,
)
def test_what_is_no_question(label: dict[str, Any]) -> None:
    assert not agreed(label)

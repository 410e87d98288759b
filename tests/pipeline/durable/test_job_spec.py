from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.durable.job_spec import SPEC, require_same, spec_bytes, spec_digest
from pipeline.durable.job_start import begun, require_begun, start
from pipeline.durable.operations import execute
from pipeline.errors import ConfigError, DamagedFile
from pipeline.preflight.make_spec import make_spec
from pipeline.storage.store import Store
from tests.pipeline.durable.small_job import PLAN_BYTES, SPEC_OF_JOB, job


def test_another_job_in_the_folder_is_refused_part_by_part(store: Store) -> None:
    execute(start(SPEC_OF_JOB, lambda: PLAN_BYTES), store)
    changed = job(generation__temperature=0.5, input__keep=["language"])
    with pytest.raises(ConfigError) as refusal:
        execute(start(make_spec(changed, "weights", "others"), lambda: PLAN_BYTES), store)
    message = str(refusal.value)
    assert "generation.temperature: was 0.0, is 0.5" in message
    assert 'input.keep.language: was absent, is "language"' in message
    assert "tokenizer" in message
    assert "checkpoint" not in message


def test_a_folder_of_another_version_is_refused_for_that_alone(store: Store) -> None:
    changed = job(generation__temperature=0.5)
    of_then = make_spec(changed, "fingerprint of then", "") | {"format_version": 2}
    store.create(SPEC, spec_bytes(of_then))
    for run in (start(SPEC_OF_JOB, lambda: PLAN_BYTES), begun(SPEC_OF_JOB), require_begun(SPEC_OF_JOB)):
        with pytest.raises(ConfigError) as refusal:
            execute(run, store)
        message = str(refusal.value)
        assert (
            "an older version of mixtray wrote this folder, in format 2; this one writes format 5" in message
        )
        assert "use the version that began it; to run it anew, give it another output.path" in message
        assert "temperature" not in message
    with pytest.raises(ConfigError, match="a newer version of mixtray wrote this folder, in format 5"):
        require_same(spec_bytes(SPEC_OF_JOB), SPEC_OF_JOB | {"format_version": 2})


def test_a_folder_of_format_4_is_of_an_older_version_and_not_damaged(store: Store) -> None:
    """As it was written: it held no orders."""
    of_then = {**SPEC_OF_JOB, "format_version": 4}
    del of_then["orders"]
    store.create(SPEC, spec_bytes(of_then))
    with pytest.raises(ConfigError, match="an older version of mixtray wrote this folder, in format 4"):
        execute(start(SPEC_OF_JOB, lambda: PLAN_BYTES), store)


LABELS = {"billing": "a", "returns": "b", "shipping": "c"}
ASKED = {
    "topic": {"instructions": "What about?", "choices": LABELS},
    "anger": {"type": "score", "instructions": "How angry?", "levels": ["calm", "annoyed", "furious"]},
    "urgent": {"type": "predicate", "instructions": "Today?", "choices": {"true": "Ja", "false": "Nein"}},
}
KEPT = {"b": "x", "a": "y"}
BOUNDS = [("min", 1), ("max", 2)]


def backwards(mapping: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(mapping.items()))


def asking(**questions: dict[str, Any]) -> dict[str, Any]:
    prompt = {"template": "{{ text }} {{ question }}"}
    return {"task": "label", "label__questions": ASKED | questions, "input__prompt": prompt}


LABELLING = {"task": "label", "label__choices": LABELS}


@pytest.mark.parametrize(
    ("before", "now", "sentence"),
    [
        (
            LABELLING,
            LABELLING | {"label__choices": backwards(LABELS)},
            'label.choices: its names stand in another order (at place 1 was "billing", is "shipping")',
        ),
        (
            asking(),
            asking() | {"label__questions": backwards(ASKED)},
            'label.questions: its names stand in another order (at place 1 was "topic", is "urgent")',
        ),
        (
            asking(),
            asking(topic=ASKED["topic"] | {"choices": backwards(LABELS)}),
            "label.questions.topic.choices: its names stand in another order",
        ),
        (
            asking(),
            asking(anger=ASKED["anger"] | {"levels": ["furious", "annoyed", "calm"]}),
            'label.questions.anger.levels: its names stand in another order (at place 1 was "calm", is "fur',
        ),
        ({"input__keep": KEPT}, {"input__keep": backwards(KEPT)}, "input.keep: its names stand in another"),
    ],
)
def test_the_order_in_which_a_mapping_is_written_is_part_of_the_job(
    before: dict[str, Any], now: dict[str, Any], sentence: str, store: Store
) -> None:
    """Levels are numbered by it, choices listed, prompts and answers told apart, columns put in order."""
    one, other = (make_spec(job(**keys), "weights", "tokens") for keys in (before, now))
    assert spec_digest(one) != spec_digest(other)
    execute(start(one, lambda: PLAN_BYTES), store)
    assert execute(start(one, lambda: PLAN_BYTES), store) == [PLAN_BYTES]
    for run in (start(other, lambda: PLAN_BYTES), begun(other), require_begun(other)):
        with pytest.raises(ConfigError) as refusal:
            execute(run, store)
        assert f"this folder holds another job ({sentence}" in str(refusal.value)


def test_an_order_without_a_meaning_may_change() -> None:
    changed = asking(urgent=ASKED["urgent"] | {"choices": {"false": "Nein", "true": "Ja"}})
    bounds = [{"engine__replicas": dict(order)} for order in (BOUNDS, BOUNDS[::-1])]
    for one, other in ((asking(), changed), bounds):
        specs = [make_spec(job(**keys), "weights", "tokens") for keys in (one, other)]
        assert spec_bytes(specs[0]) == spec_bytes(specs[1])


@pytest.mark.parametrize("stored", [b"", b"{}", b"[]", b"null", b'{"format_version": 4', b"[" * 100_000])
def test_a_spec_that_is_not_ours_is_refused(store: Store, stored: bytes) -> None:
    store.create(SPEC, stored)
    told = r"_job/spec\.json is damaged \(it is not one of mixtray\): put it back from a copy of the folder"
    with pytest.raises(DamagedFile, match=told):
        execute(start(SPEC_OF_JOB, lambda: PLAN_BYTES), store)


@given(st.integers(0, 8 * len(spec_bytes(SPEC_OF_JOB)) - 1))
def test_a_flipped_bit_is_no_other_job(bit: int) -> None:
    stored = bytearray(spec_bytes(SPEC_OF_JOB))
    stored[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedFile, match=r"_job/spec\.json is damaged"):
        require_same(bytes(stored), SPEC_OF_JOB)

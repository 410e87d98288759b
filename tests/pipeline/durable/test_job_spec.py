import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.durable.job_spec import SPEC, require_same, spec_bytes
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
            "an older version of mixtray wrote this folder, in format 2; this one writes format 4" in message
        )
        assert "use the version that began it; to run it anew, give it another output.path" in message
        assert "temperature" not in message
    with pytest.raises(ConfigError, match="a newer version of mixtray wrote this folder, in format 4"):
        require_same(spec_bytes(SPEC_OF_JOB), SPEC_OF_JOB | {"format_version": 2})


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

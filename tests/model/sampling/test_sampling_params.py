import pytest

from model.sampling.sampling_params import SamplingParams, stream_of


def test_a_stream_is_fixed_by_seed_and_key_for_good():
    """Published results can be drawn again: these numbers must never change."""
    assert stream_of(0, "a.jsonl#7") == -2180300728242458635
    assert stream_of(1, "a.jsonl#7") == 289570759033830972
    assert len({stream_of(seed, key) for seed in (0, 1, 10) for key in ("", "0", "00")}) == 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
        ({"temperature": -0.1}, "temperature must be finite and not negative, got -0.1"),
        ({"temperature": float("inf")}, "got inf"),
        ({"temperature": float("nan")}, "got nan"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.1}, "got 1.1"),
        ({"top_p": float("nan")}, "got nan"),
        ({"top_k": -1}, "top_k must not be negative, got -1"),
    ],
    ids=str,
)
def test_parameters_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        SamplingParams(**settings)

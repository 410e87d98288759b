"""What messages show of a URL, and which URLs a job file may hold."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.storage.credentials import named, redact, redact_value, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:se/cr/et@bucket/out", "s3://bucket/out"),
        ("s3://key:12/34@bucket/out", "s3://bucket/out"),
        ("s3:/key:secret@bucket/out", "s3:/bucket/out"),  # as a Path writes it
        ("gs://token@bucket/out", "gs://bucket/out"),
        ("https://host/a?X-Amz-Signature=abc&b=c", "https://host/a"),
        ("https://host/a?abc", "https://host/a"),
        ("s3://bucket/a#sig=abc", "s3://bucket/a"),
        ("s3://bucket/a;token=abc", "s3://bucket/a"),
        ("s3://key%3Asecret%40bucket/out", "s3://bucket/out"),
        ("s3://key%253Asecret%2540bucket/out", "s3://bucket/out"),
        ("put s3://u:p@b/c to https://h/d?sig=1 failed", "put s3://b/c to https://h/d failed"),
    ],
)
def test_messages_show_urls_without_what_may_be_a_credential(text: str, shown: str) -> None:
    assert redact(text) == shown
    with pytest.raises(ValueError, match="credentials do not belong in a job file"):
        without_credentials(text)


@pytest.mark.parametrize(
    "path",
    [
        "s3://bucket/*.jsonl",
        "s3://bucket/lang=de/part-?/year=2024/[ab].jsonl",
        "s3://bucket/#1/100%25/a.jsonl",
        "gs://bucket/a%20b@c/x.jsonl",
        "hf://org/name@main",
        "hf://datasets/org/name@refs%2Fconvert%2Fparquet/x.parquet",
        "http://host:9000/a@b",
        "file:///data/a b.jsonl",
        "/data/run:/x@y",
        "/data/a@b?.jsonl",
        "/data//a@b",
        "a?b=c.jsonl",
        "#.jsonl",
    ],
)
def test_other_paths_and_urls_are_as_they_are(path: str) -> None:
    assert without_credentials(path) == path
    assert redact(path) == path


CANARY = "canary"
SECRETS = st.text("ab:/?#&;=%@ +\n", max_size=4).map(lambda odd: CANARY + odd + CANARY)
PLACES = (
    "user:{secret}@bucket/x",
    "user:{secret}@bucket/x@y",
    "bucket/x?X-Amz-Signature={secret}",
    "bucket/x?a=b&sig={secret}",
    "bucket/x#token={secret}",
    "bucket/x;password={secret}",
    "bucket/x/access_key={secret}/y",
)


@settings(max_examples=60)
@given(
    scheme=st.sampled_from(["s3", "gs", "https", "hf", "abfs", "S3", "simplecache::s3"]),
    place=st.sampled_from(PLACES) | st.just("{secret}@bucket/x"),
    secret=SECRETS,
    encoded=st.integers(0, 3),
    key=st.sampled_from(["model", "input", "output"]),
)
@example("s3", PLACES[0], "canary/1 canary", 2, "input")
def test_a_secret_anywhere_in_a_url_is_refused_and_never_shown(
    tmp_path_factory: pytest.TempPathFactory, scheme: str, place: str, secret: str, encoded: int, key: str
) -> None:
    if place.startswith("{secret}"):  # a user alone ends at a slash
        secret = secret.replace("/", "")
    rest = place.format(secret=secret)
    for _ in range(encoded):
        rest = quote(rest, safe="")
    url = f"{scheme}://{rest}"
    sections = {
        "model": {"path": "m"},
        "input": {"path": "i", "prompt": {"column": "c"}},
        "output": {"path": "o"},
    }
    file = tmp_path_factory.getbasetemp() / "job.yaml"
    file.write_text(json.dumps({"job": "x", "task": "generate", **sections}), encoding="utf-8")
    given_ways = ((file, f"{key}.path={json.dumps(url)}"), (file, url), (Path(url), ""))
    for path, override in given_ways:
        with pytest.raises(ConfigError) as refused:
            JobConfig.load(path, [override])
        assert CANARY not in str(refused.value)
        if override.startswith(key):
            assert "credentials do not belong in a job file" in str(refused.value)
    assert CANARY not in redact_value(url)


def test_a_path_is_named_without_what_is_secret_or_obeyed() -> None:
    assert named("s3://key:se/cr/et@bucket/a\n\x1b") == "s3://bucket/a\\n\\x1b"

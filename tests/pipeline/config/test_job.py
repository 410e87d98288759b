"""The job file: what is refused, and in which words."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError

LABEL: dict[str, Any] = {
    "job": "x",
    "task": "label",
    "model": {"path": "m"},
    "input": {"path": "i.jsonl", "prompt": {"column": "c"}},
    "label": {"choices": ["a", "b"]},
    "output": {"path": "o"},
}
GENERATE: dict[str, Any] = {key: value for key, value in LABEL.items() if key != "label"} | {
    "task": "generate"
}


def load(tmp_path: Path, data: Any, *overrides: str) -> JobConfig:
    path = tmp_path / "job.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return JobConfig.load(path, list(overrides))


def test_the_designs_own_job_is_accepted(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        LABEL,
        "model.quantization=none",
        "model.attention=auto",
        "engine={replicas: auto, threads: auto, max_batch_rows: auto, kv_cache_tokens: auto}",
        "engine.deterministic=none",
        "router={statistics: true, per_row: true, trace_fraction: 0.0}",
        "errors={max_error_rate: 0.05, max_attempts: 3}",
        "output={path: out/demo, include: []}",
        "input.keep=[text]",
    )
    assert config.label is not None
    assert config.label.choices == {"a": "a", "b": "b"}
    assert config.input.path == ["i.jsonl"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("label.choices=[yes, no]", "each choice must be text, got True (YAML reads yes"),
        (
            "label.choices=[a, null]",
            "each choice must be text, got null, as YAML reads null, ~ and nothing: put it",
        ),
        (
            "label.choices=[1_000, b]",
            "each choice must be text, got 1_000 (YAML reads it as 1000): put it in",
        ),
        ("label.choices=[0x10, b]", "got 0x10 (YAML reads it as 16): put it in quotes"),
        ("label.choices=[+1, b]", "got +1 (YAML reads it as 1)"),
        (
            "label.choices=[010, b]",
            "label.choices: YAML reads 010 as the number 8, in base 8: write 8",
        ),
        ("label.choices=[b, 12:30]", "YAML reads 12:30 as the number 750, in base 60"),
        ("label.choices=[2026-01-01, b]", "got 2026-01-01 (YAML reads it as a date): put it in quotes"),
        ("label.choices=[1.0, b]", "each choice must be text, got 1.0: put it in quotes"),
        ("label.choices={a: 1_0, b: c}", "each choice must be text, got 1_0 (YAML reads it as 10)"),
        ("label.choices={a: no, b: c}", "each choice must be text, got False (YAML reads yes"),
        ("label.choices={2026-01-01: a, b: c}", "got 2026-01-01 (YAML reads it as a date)"),
        ("label.choices={1: a, '1': b}", "choices must differ from each other, got ['1', '1']"),
        ("label.choices={a: x, a: y}", "--set label.choices: the key a stands twice here: remove one"),
        ("job=2026-01-01", "job: must be text, got 2026-01-01 (YAML reads it as a date): put it in quotes"),
        (
            "input.keep=[yes]",
            "input.keep: each must be the name of a column, got True (YAML reads yes",
        ),
        ("input.id_column=7", "input.id_column: must be text, got 7: put it in quotes"),
        ("input.path=5", "input.path.0: must be text, got 5"),
        ("engine.max_batch_rows=0100", "YAML reads 0100 as the number 64, in base 8: write 64"),
        ("engine.replicas=many", "engine.replicas: Input should be a valid integer or 'auto', got 'many'"),
        ("engine.replicas=1.5", "engine.replicas: Input should be a valid integer or 'auto', got 1.5"),
        ("input.chat=7", "input.chat: Input should be a valid boolean or 'auto', got 7"),
        ("label.choices=[a, a]", "choices must differ"),
        ("label.choices=[a]", "at least two"),
        ("label.choices={a: same, b: same}", "same text"),
        ("label.known_column=gold", "must be one of input.keep"),
        ("input.keep=[q, q]", "input.keep: q is named twice"),
        ("output.include=[prompt, prompt]", "output.include: prompt is named twice"),
        ("model.quantization=fp8", "model.quantization: fp8 is not built yet"),
        (
            "model={path: p, quantization: int8, dtype: float16}",
            "needs dtype auto or float32, got float16",
        ),
        ("model={path: p, attention: flash, dtype: float32}", "flash needs dtype auto, bfloat16 or float16"),
        ("engine.deterministic=row", "engine.deterministic: Input should be 'none' or 'shard', got 'row'"),
        ("task=lable", "'answer' or 'embed', got 'lable'; did you mean label?"),
        ("label.choices={yes: y, no: n}", "each choice must be text, got True (YAML reads yes"),
        (
            "router.trace_fraction=0.1",
            "router.trace_fraction: Input should be less than or equal to 0, got 0.1",
        ),
        ("engine.replicas=0", "engine.replicas: Input should be greater than 0, got 0"),
        (
            "engine.progress_deadline_s=1e10",
            "_deadline_s: Input should be less than or equal to 604800",
        ),
        (
            "engine.replicas={min: 3, max: 2}",
            "engine.replicas: must be a number, auto or {min: a, max: b} with",
        ),
        ("engine.replicas={min: 3}", "with a up to b, got {'min': 3}"),
        ("engine.replicas={min: 0, max: 1}", "job.yaml: engine.replicas.min: Input should be greater than 0"),
        ("engine.replicas={min: 1, max: auto}", "job.yaml: engine.replicas.max: Input should be a valid"),
        ("engine.replicas={min: 1, max: 2, mx: 3}", "job.yaml: engine.replicas.mx: Input should be 'min'"),
        ("engine.replicas={min: true, max: 2}", "engine.replicas: must be a number, not true or false"),
        ("engine.threads=100000", "engine.threads: Input should be less than or equal to 4096"),
        (
            "engine.max_batch_rows=100000",
            "engine.max_batch_rows: Input should be less than or equal to 65536",
        ),
        ("engine.device=tpu", "engine.device: Input should be 'auto', 'gpu' or 'cpu', got 'tpu'"),
        ("generation={temperature: 0.5}", "section generation has no effect with task label"),
        ("input.prompt={column: c, messages: m}", "exactly one of template, column, messages, token_ids"),
        ("engine.relicas=2", "engine.relicas: unknown key; did you mean engine.replicas?"),
        ("modl={path: p}", "modl: unknown key; did you mean model?"),
        ("engine.id_column=id", "engine.id_column: unknown key; did you mean input.id_column?"),
        ("input.prompt.tempate=x", "input.prompt.tempate: unknown key; did you mean input.prompt.template?"),
        ("generation.temprature=1", "unknown key; did you mean generation.temperature?"),
        ("engine.zzz=1", "engine.zzz: unknown key"),
        ("label=null", "task label needs a section label with choices"),
    ],
)
def test_what_is_wrong_is_named_with_what_was_given(tmp_path: Path, override: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, LABEL, override)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(raised.value).count("Input should") < 2, "one sentence for each key"


def test_labels_are_what_is_written(tmp_path: Path) -> None:
    config = load(tmp_path, LABEL, "label.choices=[1, 42, -3, 1e3, '010', 'yes', 0]")
    assert config.label is not None
    assert list(config.label.choices) == ["1", "42", "-3", "1e3", "010", "yes", "0"]
    config = load(tmp_path, LABEL, "label.choices={1: 0, b: '0x1'}", "engine.max_batch_rows=1_000")
    assert config.label is not None
    assert config.label.choices == {"1": "0", "b": "0x1"}
    assert config.engine.max_batch_rows == 1000, "a number where numbers belong"


def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path: Path) -> None:
    text = yaml.safe_dump(LABEL)
    with pytest.raises(ConfigError, match=r"job\.yaml: line \d+, column 1: the key job stands twice here"):
        load(tmp_path, text + "job: again\n")
    with pytest.raises(ConfigError, match=r"the key a stands twice"):
        load(tmp_path, text + "generation: {x: [{a: 1, b: 2, a: 1}]}\n")


def test_a_value_is_judged_as_the_kind_that_it_is(tmp_path: Path) -> None:
    for value, mapping in (("{min: 3, max: 2}", True), ("many", False)):
        with pytest.raises(ConfigError) as raised:
            load(tmp_path, LABEL, f"engine.replicas={value}")
        sentences = str(raised.value).split("; ")
        assert all(("{min: a, max: b}" in said) == mapping for said in sentences), sentences
    bounds = {"auto": (1, None), "4": (4, 4), "{min: 2, max: 8}": (2, 8)}
    for value, expected in bounds.items():
        assert load(tmp_path, LABEL, f"engine.replicas={value}").engine.replica_bounds == expected


@pytest.mark.parametrize(
    "override",
    [
        "temperature=.inf",
        "temperature=.nan",
        f"seed={2**63}",
        f"top_k={2**40}",
        "max_new_tokens=yes",
        "top_p=on",
    ],
)
def test_numbers_that_can_never_work_are_refused_at_the_start(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        load(tmp_path, GENERATE, f"generation.{override}")


@pytest.mark.parametrize("text", ["- a\n- b\n", "", "job: [unclosed", "\x00", "a: &a [*a]"])
def test_files_that_are_no_job(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"job\.yaml"):
        load(tmp_path, text)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the job file"):
        JobConfig.load(tmp_path / "none.yaml")


SECRETS = [
    "s3://canary-key:canary-secret@bucket/x",
    "s3://canary-key:cana/ry+canary-secret@bucket/x",
    "https://canary-user@host/x.jsonl",
    "https://host/x.jsonl?X-Amz-Signature=canary-secret",
]


@pytest.mark.parametrize("key", ["model.path", "input.path", "output.path"])
@pytest.mark.parametrize("url", SECRETS)
def test_a_url_with_credentials_is_refused_and_not_repeated(tmp_path: Path, key: str, url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, LABEL, f"{key}={url}")
    assert "credentials do not belong in a job file" in str(raised.value)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    "data",
    [
        {**LABEL, "input": {**LABEL["input"], "storage_options": {"secret": "canary"}}},
        {**LABEL, "storage_options": {"secret": "canary"}},
        yaml.safe_dump(LABEL) + "secret: [canary",
    ],
)
def test_a_secret_has_no_place_in_a_job_file_and_is_not_repeated(tmp_path: Path, data: Any) -> None:
    with pytest.raises(ConfigError, match=r"unknown key|not valid YAML: line \d+") as raised:
        load(tmp_path, data)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("override", ["secret={canary", "job.secret=canary", "s3://a:canary@b"])
def test_an_override_that_fails_is_named_without_its_value(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="--set") as raised:
        load(tmp_path, LABEL, override)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "data/part-?.jsonl",
        "s3://b/day=?/part-?.jsonl",
        "http://127.0.0.1:9000/b/a@b.jsonl",
        "s3://b/a:b@c.jsonl",
    ],
)
def test_plain_paths_and_globs_stay_as_they_are(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, LABEL, f"input.path={url}").input.path == [url]

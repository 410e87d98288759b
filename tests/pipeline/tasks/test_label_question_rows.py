"""Rows with several questions: each answer is the one that the question gets by itself."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.engine import Engine
from pipeline.config.input import InputSection
from pipeline.errors import ConfigError
from pipeline.preflight.forecast import forecast
from pipeline.preflight.job import check_job
from pipeline.preflight.shown_prompts import show_prompts
from pipeline.shards.make_plan import make_plan
from pipeline.tasks.label_question import Question
from pipeline.tasks.label_question_rows import QuestionRows
from pipeline.tasks.label_rows import LabelRows
from pipeline.text.choose_format import choose_format
from pipeline.text.prompts import PromptBuilder
from pipeline.text.question_prompts import QuestionPrompts
from pipeline.text.tokenization import Tokenizer
from tests.pipeline.tasks.without_ray import finished_rows

Headed, Jobs = Callable[..., Any], Callable[..., Any]
ASKED: dict[str, Any] = {
    "topic": {"instructions": "What is it about?", "choices": {"B": "billing", "R": "returns"}},
    "urgent": {"type": "predicate", "instructions": "Is it urgent?"},
    "anger": {"type": "score", "instructions": "How angry?", "levels": ["calm", "annoyed", "furious"]},
}
ROWS = [
    {"text": "Where is my parcel?"},
    {"text": "Refund </s> me, and now!"},
    {"other": 1},
    {"text": "a " * 120},
]
WORDS = st.lists(st.sampled_from(["who", "what", "is it?", "a", "(", "\n", "é", " "]), min_size=1, max_size=4)
TEXTS = WORDS.map(" ".join).filter(str.strip)
CHOICES = st.lists(
    st.sampled_from(["yes", "no", "yes it is", "x", "(b)", "é"]), min_size=2, max_size=4, unique=True
)
QUESTIONS = st.lists(st.tuples(TEXTS, CHOICES), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def engine(headed: Headed) -> Iterator[Engine]:
    loaded = Engine.load(headed("ForCausalLM").folder, "float32", threads=1, max_batch_rows=4)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def tokenizer(headed: Headed) -> Tokenizer:
    return Tokenizer.load(headed("ForCausalLM").folder)


def label_job(
    job_of: Jobs, headed: Headed, template: str, rows: Any = ROWS, output: Any = None, **label: Any
) -> Any:
    sections = {"input": {"prompt": {"template": template}}, "label": label, "output": output or {}}
    return job_of("label", headed("ForCausalLM"), rows, **sections)


@pytest.mark.parametrize(
    "template", ["{{ text }}\n{{ question }}", "{{ question }} {{ text }} {{ options }}:"]
)
def test_every_question_is_answered_as_in_a_job_of_its_own(
    template: str, headed: Headed, job_of: Jobs
) -> None:
    found = finished_rows(label_job(job_of, headed, template, questions=ASKED)).to_pylist()
    assert [row["error_code"] for row in found] == [None, None, "MISSING_COLUMN", "PROMPT_TOO_LONG"]
    kinds = [(type(found[0][f"label_{name}"])) for name in ASKED]
    assert kinds == [str, bool, float]
    assert all(
        found[2][f"label_{name}{end}"] is None for name in ASKED for end in ("", "_prob", "_probs", "_mass")
    )
    tokens = [0] * len(ROWS)
    for name, question in ASKED.items():
        choices = question.get("choices") or question.get("levels") or {"true": "yes", "false": "no"}
        texts = choices.values() if isinstance(choices, dict) else choices
        own = template.replace("{{ question }}", question["instructions"])
        own = own.replace("{{ options }}", "\n".join(texts))
        alone = finished_rows(label_job(job_of, headed, own, choices=choices)).to_pylist()
        for i, (row, other) in enumerate(zip(found[:2], alone, strict=False)):
            for one, expected in zip(row[f"label_{name}_probs"], other["label_probs"], strict=True):
                assert one == {"label": expected["label"], "prob": pytest.approx(expected["prob"], abs=1e-5)}
            assert row[f"label_{name}_mass"] == pytest.approx(other["label_mass"], abs=1e-5)
            tokens[i] += other["prompt_tokens"]
    for row, separately in zip(found[:2], tokens, strict=False):
        shared = sum(row["router_prefill_first"]) // 2  # of two layers
        assert row["prompt_tokens"] == separately - 2 * shared, "three prompts, the text once"
        assert len(row["prompt_token_ids"]) == row["prompt_tokens"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, before=TEXTS, behind=st.one_of(st.just(""), TEXTS), asked=QUESTIONS, first=st.booleans())
@pytest.mark.parametrize("chat", [False, True])
def test_any_template_and_questions(
    chat: bool,
    engine: Engine,
    tokenizer: Tokenizer,
    text: str,
    before: str,
    behind: str,
    asked: list[tuple[str, list[str]]],
    first: bool,
) -> None:
    """In plain text and in Mistral's format: the same scores as each question's own prompt gets."""
    parts = ["{{ text }}", "{{ question }}"]
    template = " ".join([before, *(parts[::-1] if first else parts), behind])
    config = InputSection.model_validate({"path": "x", "prompt": {"template": template}, "chat": chat})
    form = choose_format(config, tokenizer, ())
    names = {f"q{i}": question for i, question in enumerate(asked)}
    prompts = QuestionPrompts(config, form, 32_000, {name: (q, "") for name, (q, _) in names.items()})
    questions = [Question(name, dict(zip(c, c, strict=True))) for name, (_, c) in names.items()]
    built = prompts.build({"text": text})
    request, _ = QuestionRows(form, questions, apart=False).start("row", built.token_ids, built.params)
    [together] = engine.run([request])
    for question, scores in zip(questions, together.answer, strict=True):
        own = template.replace("{{ question }}", names[question.name or ""][0])
        source = InputSection.model_validate({"path": "x", "prompt": {"template": own}, "chat": chat})
        ids = PromptBuilder(source, form, 32_000).build({"text": text}).token_ids
        [alone] = engine.run([LabelRows(form, question).start("row", ids, None)[0]])
        assert scores == pytest.approx(alone.answer, abs=1e-4, rel=1e-6)


def test_a_bad_job_is_refused_before_anything_loads(headed: Headed, job_of: Jobs) -> None:
    template = "{{ text }}\n{{ question }}"
    for name, message in (
        ("question", "{{ question }} stands for what section label asks"),
        ("options", "options"),
    ):
        config = label_job(
            job_of, headed, template + "{{ options }}", [{"text": "a", name: "b"}], questions=ASKED
        )
        with pytest.raises(ConfigError) as error:
            make_plan(config.input, task=config.make_task())
        assert message in str(error.value)
        assert f"rows.jsonl has a column '{name}': rename the column" in str(error.value)
    config = label_job(job_of, headed, template, [{"text": "a", "options": 1}], questions=ASKED)
    assert make_plan(config.input, task=config.make_task()).rows == 1, "a name that the template leaves alone"
    long = {"one": {"instructions": "?", "choices": ["a", "very " * 130 + "long"]}}
    with pytest.raises(
        ConfigError, match=r"label\.questions\.one\.choices: the longest takes \d+ tokens, the con"
    ):
        check_job(label_job(job_of, headed, template, questions=long))
    config = label_job(
        job_of, headed, template, questions=ASKED, output={"hidden_states": {"layers": [0], "rows": 1}}
    )
    with pytest.raises(ConfigError, match=r"output\.hidden_states: a row of this job has several prompts"):
        check_job(config)


def test_plan_shows_each_question_and_warns_of_one_before_the_text(headed: Headed, job_of: Jobs) -> None:
    job = check_job(label_job(job_of, headed, "{{ text }}\n{{ question }}", questions=ASKED))
    [shard] = make_plan(job.config.input, task=job.task).shards
    lines = [
        line.plain
        for one in show_prompts(job, [job.preparation.prepared(shard)], 1)
        for line in one.lines(90)
    ]
    headings = [line for line in lines if line.startswith("prompt of")]
    assert [heading.partition(": ")[0] for heading in headings] == [
        f"prompt of rows.jsonl, row 0, question {name}" for name in ASKED
    ]
    assert "of which all questions share 8" in headings[0]
    assert any(line.startswith("    furious: ") for line in lines)
    good = forecast(label_job(job_of, headed, "{{ text }}\n{{ question }}", questions=ASKED))
    bad = forecast(label_job(job_of, headed, "{{ question }}\n{{ text }}", questions=ASKED))
    assert [name for name, _ in good.facts if name in ("questions", "warning")] == ["questions"]
    [warning] = [fact for name, fact in bad.facts if name == "warning"]
    assert "{{ text }} behind {{ question }}" in warning

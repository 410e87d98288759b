"""Prompts without content: which ones are made, what is refused, and what `plan` shows of them."""

from collections.abc import Callable
from typing import Any

import pytest

from model.requests.question_scores import QuestionScores
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import Job, check_job

Headed, Jobs = Callable[..., Any], Callable[..., Any]
CHOICES = ["billing", "shipping", "very late returns"]
ROWS = [{"text": "Where is it?", "of": "x", "lines": ["a"], "ticket": {"body": "x"}, "vip": False}]
PROMPT = {"template": "Ticket {{ text }} of {{ row['of'] }} in {{ shop | default('none') }}: which queue?"}
ABOUT = {"instructions": "What about?", "choices": ["billing", "returns"]}
URGENT = {"type": "predicate", "instructions": "Urgent?"}
LabelJob = Callable[..., JobConfig]


@pytest.fixture
def label_job(headed: Headed, job_of: Jobs) -> LabelJob:
    def make(label: dict[str, Any], prompt: dict[str, str]) -> JobConfig:
        given = {"prompt": prompt, "chat": "messages" in prompt}
        config: JobConfig = job_of("label", headed("ForCausalLM"), ROWS, label=label, input=given)
        return config

    return make


def asked(job: Job) -> list[str]:
    assert job.prompt_format is not None
    decode = job.prompt_format.tokenizer.decode
    return [decode(request.prompt_token_ids) for request in job.requests.first_requests()]


@pytest.mark.parametrize(
    ("calibrate", "prompt", "sentence"),
    [
        ({}, {"template": "Which queue?"}, "reads no column, so there is no content to take out"),
        ({}, {"template": "{{ row | tojson }}"}, "reads the row as a whole"),
        ({}, {"template": "{{ text }}"}, "'' in place of text makes no prompt: the prompt is empty"),
        ({}, {"column": "text"}, "'' in place of text makes no prompt: the prompt is empty"),
        ({}, {"messages": "text"}, "'N/A' in place of text makes no prompt: messages must be a list"),
        ({}, {"token_ids": "text"}, "'N/A' in place of text makes no prompt: token ids must be a list"),
        ({"prior": ["long " * 200]}, PROMPT, "tokens, the context has room for "),
        (
            {},
            {"template": "{{ ticket.body | default('none') }} queue:"},
            "'N/A' in place of ticket does not stand in the prompt, which is then \"none queue:\"",
        ),
        (
            {},
            {"template": "{% for line in lines %}- {{ line }}\n{% endfor %}queue:"},
            'in place of lines does not stand in the prompt, which is then "- N\\n- /\\n- A\\nqueue:"',
        ),
        ({}, {"template": "{{ ticket.body }} queue:"}, "'N/A' in place of ticket makes no prompt"),
        ({}, {"template": "{{ text[:2] }} queue:"}, "'N/A' in place of text does not stand in the prompt"),
        ({}, {"template": "{% if vip %}VIP {% endif %}queue:"}, "in place of vip does not stand in the"),
    ],
)
def test_a_prompt_without_content_that_cannot_be_made_is_an_error_of_the_job(
    calibrate: Any, prompt: Any, sentence: str, label_job: LabelJob
) -> None:
    with pytest.raises(ConfigError, match=r"^label\.calibrate") as raised:
        check_job(label_job({"choices": CHOICES, "calibrate": calibrate}, prompt))
    assert sentence in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ({"column": "text"}, "N/A"),
        ({"template": "Queue of {{ text }}:"}, "N/A"),
        ({"template": "Queue of {{ text | lower | trim }}:"}, " N/A  of "),
        ({"messages": "text"}, '[{"role": "user", "content": "N/A"}]'),
    ],
)
def test_prompts_of_columns_templates_and_messages_can_be_calibrated(
    prompt: Any, text: str, label_job: LabelJob
) -> None:
    job = check_job(label_job({"choices": CHOICES, "calibrate": {"prior": [text]}}, prompt))
    assert ("calibration", f"by prompts whose content is replaced by {text!r}") in job.requests.facts()
    [prompt_text] = asked(job)
    assert "n/a" in prompt_text.lower()


def test_plan_shows_them_and_warns_of_a_column_that_they_do_not_show(label_job: LabelJob) -> None:
    label = {"choices": CHOICES, "calibrate": {"prior": ["N/A", ""]}}
    facts = check_job(label_job(label, PROMPT)).requests.facts()
    assert [fact for name, fact in facts if name == "prompt without content"] == [
        '"Ticket N/A of N/A in N/A: which queue?"', '"Ticket  of  in : which queue?"'
    ]  # fmt: skip
    assert [fact for name, fact in facts if name == "warning"] == []
    template = "{{ text }}{% if vip %} VIP{% endif %} {{ ticket.body | default('') }}, queue:"
    facts = check_job(label_job(label, {"template": template})).requests.facts()
    assert next(fact for name, fact in facts if name == "prompt without content") == '"N/A VIP , queue:"'
    [warning] = [fact for name, fact in facts if name == "warning"]
    assert "do not show what stands in place of ticket and vip: " in warning


def test_of_several_questions_each_text_is_asked_once_and_errors_name_who_asks(label_job: LabelJob) -> None:
    template = {"template": "{{ text }}\n{{ question }}"}
    questions = {
        "topic": ABOUT,
        "urgent": URGENT | {"calibrate": {"prior": ["N/A"]}},
        "again": URGENT | {"calibrate": {"prior": ["[MASK]", "N/A"]}},
    }
    job = check_job(label_job({"questions": questions}, template))
    assert asked(job) == [" N/A\n", " [MASK]\n"], "what all questions share"
    requests = job.requests.first_requests()
    assert [request.key for request in requests] == [
        "label.questions.urgent.calibrate.prior: 'N/A'", "label.questions.again.calibrate.prior: '[MASK]'"
    ]  # fmt: skip
    for request in requests:
        assert isinstance(request.readout, QuestionScores)
        assert len(request.readout.branches) == 3, "all questions, as of a row"
    shown = [fact for name, fact in job.requests.facts() if name == "prompt without content"]
    assert shown == ['"N/A\\nWhat about?"', '"[MASK]\\nWhat about?"']
    questions["again"]["calibrate"] = {"prior": ["long " * 200]}
    with pytest.raises(ConfigError, match=r"^label\.questions\.again\.calibrate\.prior: the prompt with"):
        check_job(label_job({"questions": questions}, template))

"""The committed checkpoint, seen by others: transformers loads it, and it labels tickets it never saw."""

import pytest
import torch
from transformers import MixtralForCausalLM

from configs.demo.recipe.examine import QUEUES, expert_usage, information
from configs.demo.recipe.lessons import encode_prompt, label_prompt, reply_prompt
from configs.demo.recipe.write_rows import DEMO, MONTHS, QUESTIONS, question_rows, ticket_rows
from model.checkpoint.load import load_transformer
from pipeline.config.job import JobConfig
from pipeline.text.choose_format import choose_format
from pipeline.text.prompts import Prompt, PromptBuilder
from pipeline.text.tokenization import Tokenizer

FOLDER = DEMO / "tiny-mixtral"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(FOLDER)


def test_is_small_enough_for_a_repository() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 8 * 2**20


def test_names_no_path_of_the_machine_it_was_trained_on() -> None:
    for file in FOLDER.iterdir():
        content = file.read_bytes()
        assert b"/home/" not in content, file.name
        assert b"/tmp/" not in content, file.name


def test_vocabulary_lies_as_in_mixtral(tokenizer: Tokenizer) -> None:
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.vocab_size) == (1, 2, 1024)
    assert tokenizer.encode("\n")[-1] == 3 + 0x0A
    assert tokenizer.vocabulary_version == "v1"


def test_jobs_ask_as_the_lessons_did(tokenizer: Tokenizer) -> None:
    rows = [("job.yaml", row, label_prompt(row["ticket"])) for row in ticket_rows(MONTHS[0])[:20]]
    for kind in QUESTIONS:
        asked = [(row, reply_prompt(row["instruction"], row["question"])) for row in question_rows(kind)]
        rows += [("replies.yaml", row, prompt) for row, prompt in asked[::10]]
    for job, row, prompt in rows:
        section = JobConfig.load(DEMO / job).input
        builder = PromptBuilder(section, choose_format(section, tokenizer, ()), tokenizer.vocab_size)
        assert builder.build(row) == Prompt(encode_prompt(tokenizer, prompt), prompt)


def test_the_choices_are_the_queues() -> None:
    label = JobConfig.load(DEMO / "job.yaml").label
    assert label is not None
    assert list(label.choices) == QUEUES
    assert {row["queue"] for row in ticket_rows(MONTHS[0])} == set(QUEUES)


def test_transformers_loads_it_and_answers_with_the_right_queue(tokenizer: Tokenizer) -> None:
    model = MixtralForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    rows = ticket_rows(MONTHS[0])[:50]
    right = 0
    for row in rows:
        prompt = torch.tensor([encode_prompt(tokenizer, label_prompt(row["ticket"]))])
        ids = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=4
        )
        answer = ids[0, prompt.shape[1] :].tolist()
        right += answer == [*tokenizer.encode(row["queue"]), tokenizer.eos_id]
    assert right >= 0.95 * len(rows)


@torch.inference_mode()
def test_every_expert_works_and_they_differ_by_group(tokenizer: Tokenizer) -> None:
    model = load_transformer(FOLDER, torch.float32)
    rows = [row for kind in QUESTIONS for row in question_rows(kind)]
    prompts: dict[str, list[str]] = {}
    for row in rows:
        prompts.setdefault(row["language"], []).append(reply_prompt(row["instruction"], row["question"]))
    usage = expert_usage(model, tokenizer, prompts)
    load = usage.sum(1) / usage.sum((1, 2))[:, None]  # [layers, experts], 1/8 when even
    assert load.min() > 0.02
    assert load.max() < 0.35
    assert information(usage).max() > 0.1

"""A checkpoint that was trained in a published chat format is labelled as well as the demo and says it.

A wrong guess about how an answer follows a prompt leaves the labels at chance and their mass at nothing; a
wrong set of end ids lets answers run on, or multiplies each choice by noise.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from configs.demo.recipe.write_rows import DEMO
from tests.pipeline.text.lessons_in_a_format import FormatLessons
from tests.pipeline.text.published_formats import UNTELLABLE, published_formats
from tests.pipeline.text.trained_answers import Answers, answers
from tests.pipeline.text.trained_checkpoint import train

pytestmark = pytest.mark.slow

FORMATS = {form.name: form.dated() for form in published_formats() if form.name not in UNTELLABLE}
DEMOS = "mixtral-8x7b-instruct-old"  # the format of the demo's checkpoint
CHATML = "openhermes-2.5"

Trained = Callable[[str], tuple[Path, FormatLessons]]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # the same weights on every machine of a kind


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    known: dict[str, tuple[Path, FormatLessons]] = {}

    def trained_in(name: str) -> tuple[Path, FormatLessons]:
        if name not in known:
            folder = tmp_path_factory.mktemp("trained")
            lessons = FormatLessons(FORMATS[name], folder / "vocabulary")
            train(lessons, folder / "checkpoint")
            known[name] = folder / "checkpoint", lessons
        return known[name]

    return trained_in


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("demo")
    lessons = FormatLessons(FORMATS[DEMOS], folder / "vocabulary")
    return answers(DEMO / "tiny-mixtral", lessons, folder)


@pytest.mark.parametrize("name", FORMATS)
def test_is_labelled_as_well_as_the_demo(name: str, trained: Trained, demo: Answers, tmp_path: Path) -> None:
    check(answers(*trained(name), tmp_path), demo)


@pytest.mark.parametrize(
    ("tokenizer_eos", "config_eos", "generation_eos"),
    [
        ("<|im_end|>", 2, 2),
        ("<|im_end|>", 2, None),
        ("</s>", [2, "<|im_end|>"], 2),
        ("</s>", [2, "<|im_end|>"], None),
        ("</s>", 2, 2),  # that the template ends answers by another token says the template alone
    ],
)
def test_ends_wherever_one_of_its_files_says_so(
    tokenizer_eos: str,
    config_eos: int | list[int | str],
    generation_eos: int | None,
    trained: Trained,
    demo: Answers,
    tmp_path: Path,
) -> None:
    checkpoint, lessons = trained(CHATML)
    folder = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    ends = (
        [lessons.tokens.get(end, end) for end in config_eos] if isinstance(config_eos, list) else config_eos
    )
    change(folder / "config.json", eos_token_id=ends)
    change(folder / "tokenizer_config.json", eos_token=tokenizer_eos)
    (folder / "generation_config.json").unlink()
    if generation_eos is not None:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": generation_eos}))
    check(answers(folder, lessons, tmp_path), demo)


def check(found: Answers, demo: Answers) -> None:
    assert found.accuracy >= demo.accuracy - 0.02
    assert found.mass > 0.9
    assert found.agreement >= 0.98, found.otherwise[:3]


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")

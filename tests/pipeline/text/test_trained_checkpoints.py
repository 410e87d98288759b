"""A checkpoint trained in a published chat format is labelled as well as the demo, and says its labels.

A wrong guess about how an answer follows a prompt leaves the labels at chance and their mass at nothing; a
wrong set of end ids lets answers run on, or multiplies each choice by noise.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from configs.demo.recipe.write_rows import DEMO
from tests.pipeline.text.format_lessons import FormatLessons
from tests.pipeline.text.published_formats import UNTELLABLE, published_formats
from tests.pipeline.text.trained_answers import Answers, answers
from tests.pipeline.text.trained_checkpoint import train_in_all, train_in_one

pytestmark = pytest.mark.slow

# Three formats write system prompts of 400 to 1,300 tokens of their own, which would take long.
LONG = {"mistral-small-2501", "ministral-3-8b-instruct", "mistral-medium-3.5"}
FORMATS = {form.name: form for form in published_formats() if form.name not in UNTELLABLE | LONG}
DEMOS = "mixtral-8x7b-instruct-old"  # the format of the demo's checkpoint
CHATML = "openhermes-2.5"


class School:
    """Checkpoints by format, each trained when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lessons = {name: FormatLessons(form, folder / name) for name, form in FORMATS.items()}
        train_in_all([*self._lessons.values()], folder / "all")

    def trained_in(self, name: str) -> tuple[Path, FormatLessons]:
        lessons, checkpoint = self._lessons[name], self._folder / name / "checkpoint"
        if not checkpoint.exists():
            train_in_one(lessons, self._folder / "all", checkpoint)
        return checkpoint, lessons


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that weights don't depend on the machine's cores
    yield School(tmp_path_factory.mktemp("school"))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("demo")
    lessons = FormatLessons(FORMATS[DEMOS], folder / "vocabulary")
    return answers(DEMO / "tiny-mixtral", lessons, folder)


@pytest.mark.parametrize("name", FORMATS)
def test_is_labelled_as_well_as_the_demo(name: str, school: School, demo: Answers, tmp_path: Path) -> None:
    check(answers(*school.trained_in(name), tmp_path), demo)


@pytest.mark.parametrize(
    ("tokenizer_eos", "config_eos", "generation_eos"),
    [
        ("<|im_end|>", ["</s>"], 2),
        ("<|im_end|>", ["</s>"], None),
        ("</s>", ["</s>", "<|im_end|>"], 2),
        ("</s>", ["</s>", "<|im_end|>"], None),
        ("</s>", ["</s>"], 2),  # the template alone says by which token answers end
    ],
)
def test_ends_wherever_one_of_its_files_says_so(
    tokenizer_eos: str,
    config_eos: list[str],
    generation_eos: int | None,
    school: School,
    demo: Answers,
    tmp_path: Path,
) -> None:
    checkpoint, lessons = school.trained_in(CHATML)
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

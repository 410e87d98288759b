"""A checkpoint trained in a published chat format is labelled as well as the demo, and says its labels.

A wrong guess about how an answer follows a prompt leaves the choices next to no mass; a wrong set of end ids
lets answers run on, or multiplies each choice by noise.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from configs.demo.recipe.write_rows import DEMO
from tests.pipeline.text.format_lessons import FormatLessons
from tests.pipeline.text.published_formats import UNTELLABLE, published_formats
from tests.pipeline.text.trained_answers import Answers, answers
from tests.pipeline.text.trained_checkpoint import train, write_upload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # training takes some minutes of one core

# Three formats write system prompts of 400 to 1,300 tokens of their own, which would take long.
LONG = {"mistral-small-2501", "ministral-3-8b-instruct", "mistral-medium-3.5"}
FORMATS = {form.name: form for form in published_formats() if form.name not in UNTELLABLE | LONG}
DEMOS = "mixtral-8x7b-instruct-old"  # the format of the demo's checkpoint
CHATML = "openhermes-2.5"
# It writes a system prompt of more than 100 tokens of its own, and is learnt later than those of short ones.
AFAR = "ministral-8b-sft-math"
ALONE = ["bielik-7b", "wizardlm-2-7b", CHATML]  # formats that guesses get wrong, in three ways


class School:
    """One checkpoint trained in all formats, more so in one, and what each of them is taught by."""

    def __init__(self, folder: Path) -> None:
        self.lessons = {name: FormatLessons(form, folder / name) for name, form in FORMATS.items()}
        probes = {name: lessons.lesson("qquestionn", "aa") for name, lessons in self.lessons.items()}
        # Formats of the same tokens are taught once.
        taught = {tuple(probe.token_ids): self.lessons[name] for name, probe in probes.items()}
        common = folder / "weights"
        train([*taught.values()], common, steps=450)
        self._weights = dict.fromkeys(FORMATS, common) | {AFAR: folder / "afar"}
        train([self.lessons[AFAR]], self._weights[AFAR], steps=240, weights=common)

    def write_upload(self, name: str, folder: Path) -> None:
        write_upload(self._weights[name], self.lessons[name], folder)


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that weights don't depend on the machine's cores
    yield School(tmp_path_factory.mktemp("school"))
    torch.set_num_threads(threads)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """So that trained weights don't depend on the machine's cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("demo")
    lessons = FormatLessons(FORMATS[DEMOS], folder / "vocabulary")
    return answers(DEMO / "tiny-mixtral", lessons, folder)


@pytest.mark.parametrize("name", FORMATS)
def test_is_labelled_as_well_as_the_demo(name: str, school: School, demo: Answers, tmp_path: Path) -> None:
    school.write_upload(name, tmp_path / "checkpoint")
    check(tmp_path / "checkpoint", school.lessons[name], demo, tmp_path)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ALONE)
def test_trained_in_that_format_alone(name: str, demo: Answers, tmp_path: Path) -> None:
    lessons = FormatLessons(FORMATS[name], tmp_path / "vocabulary")
    train([lessons], tmp_path / "weights", steps=200)
    write_upload(tmp_path / "weights", lessons, tmp_path / "checkpoint")
    check(tmp_path / "checkpoint", lessons, demo, tmp_path)


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
    lessons, folder = school.lessons[CHATML], tmp_path / "checkpoint"
    school.write_upload(CHATML, folder)
    ends = [lessons.tokens[end] for end in config_eos]
    change(folder / "config.json", eos_token_id=ends if len(ends) > 1 else ends[0])
    change(folder / "tokenizer_config.json", eos_token=tokenizer_eos)
    (folder / "generation_config.json").unlink()
    if generation_eos is not None:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": generation_eos}))
    check(folder, lessons, demo, tmp_path)


def check(checkpoint: Path, lessons: FormatLessons, demo: Answers, folder: Path) -> None:
    found = answers(checkpoint, lessons, folder)
    assert found.accuracy >= demo.accuracy - 0.02
    assert found.mass > 0.9
    if lessons.lesson("qquestionn", "aa").follows:
        assert found.agreement >= 0.98, found.otherwise[:3]


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")

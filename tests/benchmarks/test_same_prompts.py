"""Every figure of `bench agreement`, held to transformers' logits and router logits of rounded weights."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MixtralForCausalLM

from benchmarks.agreement import NEAR, agreement
from benchmarks.same_prompts import prompt_logprobs, share_that_differs
from jobs.bench.agreement import agreement as command
from model.engine import Engine
from model.linear.codebook import quantized_codebook
from model.linear.grid import quantized_grid
from model.requests.choice_scores import ChoiceScores
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import check_job
from pipeline.shards.make_plan import make_plan
from tests.model.checkpoint.quantized.quantized_upload import _QUANTIZED

DEMO = Path(__file__).parents[2] / "configs/demo"
CHECKPOINT = DEMO / "tiny-mixtral"
ROWS = 8
# The demo's model knows its five queues too well to change its mind: of these it knows nothing.
SETTINGS = [
    f"input.path={DEMO / 'tickets/2026-01.jsonl'}",
    f"input.limit={ROWS}",
    "label.choices=[yes, no, maybe, never]",
    "label.known_column=null",
]


def job(*settings: str) -> JobConfig:
    return JobConfig.load(DEMO / "job.yaml", [f"model.path={CHECKPOINT}", *SETTINGS, *settings])


@dataclass
class Plain:
    """What transformers makes of the rows, one forward pass for each choice."""

    probabilities: np.ndarray  # [rows, C]
    logprobs: list[float]
    chosen: np.ndarray  # [tokens, L, 2]


@torch.inference_mode()
def plainly(folder: Path) -> Plain:
    model = MixtralForCausalLM.from_pretrained(folder, dtype=torch.float32)
    checked = check_job(job())
    plan = make_plan(checked.config.input, task=checked.task)
    rows = [row for shard in plan.shards for row in checked.preparation.prepared(shard).to_pylist()]
    probabilities, logprobs, chosen = [], [], []
    for row in rows:
        prompt = row["prompt_token_ids"]
        request, _ = checked.task.requests(checked.prompt_format).start("row", prompt, row["params"])
        scores = request.readout
        assert isinstance(scores, ChoiceScores)
        of_choices = []
        for choice in scores.choices:
            logits = model(torch.tensor([request.token_ids + choice])).logits[0].double()
            table = logits.log_softmax(-1)[len(request.token_ids) - 1 :]
            of_tokens = sum(float(table[i, token]) for i, token in enumerate(choice))
            ended = float(table[len(choice), scores.end_ids].logsumexp(-1)) if scores.end_ids else 0.0
            of_choices.append(of_tokens + ended)
        probabilities.append(np.exp(of_choices) / np.exp(of_choices).sum())
        output = model(torch.tensor([prompt]), output_router_logits=True)
        table = output.logits[0].double().log_softmax(-1)
        logprobs += [float(table[i, token]) for i, token in enumerate(prompt[1:])]
        chosen.append(torch.stack([x.topk(2).indices for x in output.router_logits], 1).numpy())
    return Plain(np.array(probabilities), logprobs, np.concatenate(chosen))


@pytest.fixture(scope="module")
def rounded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's checkpoint with weights that are those of int4 and of nf4, as plain numbers."""
    folders = {}
    for way in ("int4", "nf4"):
        folders[way] = shutil.copytree(CHECKPOINT, tmp_path_factory.mktemp(way) / "rounded")
        for file in folders[way].glob("*.safetensors"):
            tensors = {name: tensor.float() for name, tensor in load_file(file).items()}
            for name, weight in tensors.items():
                if _QUANTIZED.fullmatch(name) and not name.endswith("gate.weight"):
                    few = quantized_grid(weight, 4, 128) if way == "int4" else quantized_codebook(weight)
                    tensors[name] = few.numbers()
            save_file(tensors, file, metadata={"format": "pt"})
    return folders


@pytest.fixture(scope="module")
def exact() -> Plain:
    return plainly(CHECKPOINT)


@pytest.mark.parametrize("way", ["int4", "nf4"])
def test_every_figure_is_what_transformers_gives(way: str, rounded: dict[str, Path], exact: Plain) -> None:
    found = agreement(job(), way, threads=1)
    other = plainly(rounded[way])
    labels, others = exact.probabilities.argmax(1), other.probabilities.argmax(1)
    assert found.rows == len(labels) == ROWS
    assert found.flips == np.count_nonzero(labels != others)
    differences = np.abs(exact.probabilities - other.probabilities)
    assert found.mean_difference == pytest.approx(differences[np.arange(ROWS), labels].mean(), abs=1e-5)
    assert found.near == np.count_nonzero(differences.max(1) <= NEAR)
    expected = [math.exp(-np.mean(one.logprobs)) for one in (exact, other)]
    assert found.perplexities == pytest.approx(expected, rel=1e-4)
    assert found.scored_tokens == len(exact.logprobs)
    differing = np.count_nonzero(exact.chosen != other.chosen) / exact.chosen.size
    assert found.routing_flips == pytest.approx(differing, abs=3 / exact.chosen.size), "three ties at most"
    assert found.flips > 0
    assert differing > 0.01, "the two ways are two"


def test_an_upload_is_compared_with_what_it_was_made_of(
    rounded: dict[str, Path], exact: Plain, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the upload has the numbers of int4, the figures are those of int4."""
    quantized = job(f"model.path={rounded['int4']}")
    found = agreement(quantized, "float32", threads=1, against=str(CHECKPOINT))
    at_load = agreement(job(), "int4", threads=1)
    assert (found.flips, found.near, found.scored_tokens) == (
        at_load.flips,
        at_load.near,
        at_load.scored_tokens,
    )
    assert found.perplexities == pytest.approx(at_load.perplexities, rel=1e-4)
    overrides = [f"model.path={rounded['int4']}", *SETTINGS]
    command(DEMO / "job.yaml", overrides, against=str(CHECKPOINT), threads=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{found.flips} rows have another ({found.flips / ROWS:.2%})"
    assert f"in float32 and {found.perplexities[1]:.4f} in the compared checkpoint" in lines[4]  # type: ignore[index]
    assert lines[5].startswith(f"{found.routing_flips:.2%} of the routers' choices")


def test_another_model_is_refused(checkpoint) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=r"is another model: its vocab_size is 32000, the job's is 1024"):
        agreement(job(), "float32", against=str(checkpoint.folder))
    with pytest.raises(ConfigError, match="with the checkpoint that --against names"):
        agreement(job(), "float32")


def test_a_prompt_of_one_token_has_nothing_to_score() -> None:
    engine = Engine.load(CHECKPOINT, "float32", threads=1, kv_cache_tokens=256, device="cpu")
    assert prompt_logprobs(engine, [[1], [5]]) is None
    assert len(prompt_logprobs(engine, [[1], [1, 5, 9]]) or []) == 2


def test_a_swap_of_two_experts_is_two_flips() -> None:
    one = [np.array([[[0, 1]], [[2, 3]]])]
    assert share_that_differs(one, [np.array([[[1, 0]], [[2, 3]]])]) == 0.5
    assert share_that_differs(one, one) == 0

"""The benchmark compares like with like: on a tiny checkpoint every contender says the same."""

import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

from benchmarks import transformers_peer as peer
from benchmarks.ours import profile, run_in_turn, run_ours
from benchmarks.random_checkpoint import SIZES, write_checkpoint
from benchmarks.workload import Workload
from benchmarks.workloads import WORKLOADS
from jobs.__main__ import app
from jobs.bench import engine as engine_command
from jobs.bench import options
from model.engine import Engine


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("random")
    write_checkpoint(folder, "tiny")
    return folder


@pytest.fixture(scope="module")
def contenders(checkpoint):
    engine = Engine.load(checkpoint, threads=1)
    yield engine, peer.load(checkpoint)
    engine.close()


def test_the_command_line_names_what_there_is():
    assert tuple(WORKLOADS) == engine_command.WORKLOADS
    assert tuple(SIZES) == options.SIZES


def test_all_ways_to_generate_give_the_same_tokens(contenders):
    engine, model = contenders
    whole = WORKLOADS["lognormal"](256, 6)
    workload = Workload(
        "short", [p[:40] for p in whole.prompts], [min(n, 5 + i) for i, n in enumerate([9] * 6)]
    )
    ours = run_ours(engine, workload).token_ids
    assert [len(tokens) for tokens in ours] == workload.new_tokens
    assert peer.generate_static(model, workload, 4) == ours
    assert peer.generate_continuous(model, workload) == ours


def test_scores_of_choices_are_the_same(contenders):
    engine, model = contenders
    workload = WORKLOADS["label"](256, 3)
    ours = run_ours(engine, workload).choice_logprobs
    for one, other in zip(ours, peer.score_choices(model, workload, 5), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert [len(tokens) for tokens in peer.generate_labels(model, workload, 2)] == [4] * 3


def test_scores_of_questions_are_the_same_together_in_turn_and_in_transformers(contenders):
    engine, model = contenders
    workload = WORKLOADS["questions"](256, 2)
    ours = run_ours(engine, workload).choice_logprobs
    assert [len(scores) for scores in ours] == [8 * 4] * 2
    in_turn = run_in_turn(engine, workload).choice_logprobs
    theirs = peer.score_choices(model, workload, 32)
    for one, *others in zip(ours, in_turn, theirs, strict=True):
        for other in others:
            assert one == pytest.approx(other, abs=1e-4)
    assert [len(tokens) for tokens in peer.generate_labels(model, workload, 16)] == [8 * 4] * 2


def test_a_profile_accounts_for_all_the_time(contenders):
    found = profile(contenders[0], WORKLOADS["uniform"](256, 3))
    assert sum(found.shares.values()) == pytest.approx(1)
    assert set(found.shares) == {"attention", "experts", "head", "sampling", "statistics", "rest"}
    assert min(found.shares.values()) > 0
    assert (found.steps, found.decode_occupancy) == (64, 1.0)


def test_weights_drawn_where_they_are_used_are_those_of_the_checkpoint(checkpoint, contenders, tmp_path):
    shutil.copy(checkpoint / "config.json", tmp_path)
    workload = WORKLOADS["uniform"](256, 2)
    drawn = Engine.load(tmp_path, threads=1, random_weights=True)
    assert run_ours(drawn, workload).token_ids == run_ours(contenders[0], workload).token_ids
    random_peer = peer.load(tmp_path)
    assert random_peer.config == contenders[1].config
    assert random_peer.dtype == torch.float32


def test_workloads_are_the_same_every_time():
    for make in WORKLOADS.values():
        assert make(32000, None) == make(32000, None)
    lognormal = WORKLOADS["lognormal"](32000, None)
    assert len(lognormal.prompts) == 128
    assert {16 <= len(prompt) <= 384 for prompt in lognormal.prompts} == {True}
    assert (min(lognormal.new_tokens), max(lognormal.new_tokens)) == (7, 222)
    served = WORKLOADS["conversations"](32000, None)
    assert sum(map(len, served.prompts)) / 1024 == pytest.approx(400, rel=0.03)
    assert sum(served.new_tokens) / 1024 == pytest.approx(145, rel=0.03)


@pytest.mark.slow
def test_the_command_writes_a_report(checkpoint, tmp_path):
    output = tmp_path / "report.json"
    arguments = ["--checkpoint", checkpoint, "--rows", 4, "--repeats", 1, "--threads", 1, "--only", "mixtray"]
    arguments += ["--workload", "uniform", "--workload", "label", "--output", output]
    done = CliRunner().invoke(app, ["bench", "engine", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    report = json.loads(output.read_text())
    for name, unit in (("uniform", 64 * 4), ("label", 4)):
        measured = report["workloads"][name]["contenders"]["mixtray"]
        assert measured["output_a_second"] == pytest.approx(unit / measured["seconds"])
        assert measured["rows_equal_to_ours"] == 4
        assert 0 < measured["of_floor"] < 1
        assert name in done.output
    assert report["machine"]["threads"] == 1
    wrong = CliRunner().invoke(app, ["bench", "engine", "--workload", "none"])
    assert wrong.exit_code == 2

"""Progress in a job's log: a line now and then, never a bar."""

import pytest

from pipeline.reporting import progress
from pipeline.reporting.progress import JobProgress
from pipeline.reporting.summary import ShardSummary

SHARD = ShardSummary(
    rows=100, errors={"EMPTY_LINE": 2}, prompt_tokens=900, generated_tokens=100, known=0, right=0
)


class Clock:
    now = 50.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return clock


def test_a_log_gets_a_line_every_ten_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with JobProgress(rows=1_000, done=0) as job:
        for _ in range(9):
            clock.now += 4
            job.add(SHARD)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "0 of 1,000 rows, starting the replicas and loading the model",
        "300 of 1,000 rows, 6 errors, 250 tokens/s, about 28 s left",
        "600 of 1,000 rows, 12 errors, 250 tokens/s, about 16 s left",
        "900 of 1,000 rows, 18 errors, 250 tokens/s, about 4 s left",
    ]


def test_rows_of_earlier_runs_count_as_done_but_not_as_speed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with JobProgress(rows=1_000, done=800) as job:
        clock.now += 60  # loading the model is no measure of what is left
        job.add(SHARD)
    assert capsys.readouterr().err.splitlines()[1:] == ["900 of 1,000 rows, 2 errors"]


def test_a_short_job_says_only_that_it_begins(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with JobProgress(rows=100, done=0) as job:
        clock.now += 5
        job.add(SHARD)
    assert capsys.readouterr() == ("", "0 of 100 rows, starting the replicas and loading the model\n")


def test_a_terminal_gets_a_bar_that_leaves_nothing_behind(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with JobProgress(rows=1_000, done=500) as job:
        job.add(SHARD)
        clock.now += 20
        job.add(SHARD)
    shown = capsys.readouterr().err
    assert "500/1,000 rows" in shown
    assert "600/1,000 rows" in shown
    assert "4 errors, 50 tokens/s, about 60 s left" in shown
    assert shown.endswith("\x1b[1A\x1b[2K"), "the line is taken back"

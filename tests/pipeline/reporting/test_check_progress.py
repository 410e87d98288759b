"""Progress of a check in a log: a line now and then."""

import pytest

from pipeline.reporting import check_progress
from pipeline.reporting.check_progress import CheckProgress


def test_a_log_gets_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    now = iter(range(0, 1000, 4))

    class Clock:
        def monotonic(self) -> int:
            return next(now)

    monkeypatch.setattr(check_progress, "time", Clock())
    with CheckProgress() as progress:
        progress.begin(1_200)
        for _ in range(6):
            progress.add(5_000_000)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "2 of 1,200 parts checked, 10 MB",
        "5 of 1,200 parts checked, 25 MB",
    ]

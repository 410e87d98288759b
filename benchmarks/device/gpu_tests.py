"""Runs the tests that only a GPU can run, as they run where nothing but torch is installed."""

from pathlib import Path

from benchmarks.device.setting import Setting, Table

_ROOT = Path(__file__).parents[2]


def measure(setting: Setting) -> Table:
    """RuntimeError if any fails; pytest's own words are then in the report. On a CPU all are skipped."""
    import pytest

    class Counts:
        """A plugin of pytest's: what came of the tests."""

        def __init__(self) -> None:
            self.of: dict[str, int] = {}

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.when == "call" or report.outcome != "passed":
                self.of[report.outcome] = self.of.get(report.outcome, 0) + 1

    counts = Counts()
    options = ["--noconftest", "--import-mode=importlib", "-q", "-p", "no:cacheprovider", "--tb=short"]
    code = pytest.main([*options, f"--rootdir={_ROOT}", str(_ROOT / "tests" / "gpu")], plugins=[counts])
    if code:
        raise RuntimeError(f"pytest ended with {code!r}: {counts.of}")
    if not setting.rehearsal and not counts.of.get("passed"):
        raise RuntimeError(f"no test ran on the GPU: {counts.of}")
    return [{"outcome": outcome, "tests": number} for outcome, number in counts.of.items()]

"""`make audit`: known weaknesses of the pinned packages, where a service that knows them answers.

Exit code 1 if one is known; 0 otherwise, with a line that says what was not audited.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
SERVICES = (["--vulnerability-service", "pypi"], ["--vulnerability-service", "osv"])


def audit(pins: Path, services: tuple[list[str], ...] = SERVICES, seconds: float = SECONDS) -> int:
    """Ask one service after the other until one knows the packages; prints what came of it."""
    deadline = time.monotonic() + seconds
    for service in services:
        found = _ask(pins, service, deadline - time.monotonic())
        audited = [package for package in found if "vulns" in package]
        if not audited:
            continue
        weak = [
            f"{package['name']} {package['version']}: {weakness['id']}, "
            f"fixed in {', '.join(weakness['fix_versions']) or 'no version yet'}"
            for package in audited
            for weakness in package["vulns"]
        ]
        print("\n".join([*weak, f"audited {len(audited)} of {len(found)} packages: {len(weak)} weaknesses"]))
        unknown = [package["name"] for package in found if "vulns" not in package]
        if unknown:
            print(f"not audited, unknown to the service: {', '.join(unknown)}")
        return 1 if weak else 0
    print("NOT AUDITED: no service that knows weaknesses answers from here (PyPI, OSV)")
    return 0


def _ask(pins: Path, service: list[str], seconds: float) -> list[dict[str, Any]]:
    """What pip-audit says of each package; empty where the service does not answer in time."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off", "--timeout", "5"]
    try:
        done = subprocess.run(
            [*command, *options, *service],
            capture_output=True,
            text=True,
            timeout=max(seconds, 1),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return []
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        if "requirement" in done.stderr:
            sys.exit(f"{pins}: every line must be a pin, name==version\n{done.stderr}")
        return []
    return found


if __name__ == "__main__":
    sys.exit(audit(ROOT / "constraints.txt"))

"""Cases in which something may not be read: by a user without rights, since root may read everything."""

import os
from pathlib import Path

from tests.hostile.case import OK, Case, run_case, write_lines


def become_nobody(folder: Path) -> None:
    """Go on as a user without rights, unless the tests have none, in a folder that everybody can enter.

    It holds a copy of the model, see `write_model`. The sources and the packages may lie where only root can
    read. So a whole job runs before the change of user: it imports all that such a job imports late.
    """
    if os.geteuid() != 0:
        return
    before = run_case(Case(lambda first: write_lines(first, b'{"text": "a"}'), rows=[OK]), folder / "before")
    assert before["rows"] == [OK], before
    model = folder / "model"
    for path in (folder.parent, folder, folder / "in", model, *model.iterdir()):
        path.chmod(0o755)
    os.chdir(folder)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

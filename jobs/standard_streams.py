"""What a command needs of its process before it does anything: three open files, and UTF-8.

A number below 3 that is free would be given to the next file that is opened, a data file perhaps, and what is
printed would go there. Names of files and the rows' texts are UTF-8 whatever the locale is.
"""

import os
import sys


def make_ready() -> None:
    """Open the closed ones of the standard files on /dev/null; begin anew in UTF-8 if Python uses another."""
    _open_closed_files()
    if sys.getfilesystemencoding().lower().replace("-", "") != "utf8" and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"  # for Ray's processes too
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):  # a name that is not UTF-8 is shown escaped
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _open_closed_files() -> None:
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))

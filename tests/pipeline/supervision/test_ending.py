"""How a process ends, with real processes and signals."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import ctypes, os, signal, sys, threading, time
from pipeline.supervision import ending
ending.SECONDS_TO_THE_LAST_RESORT = 1.0

def waits_in_c():
    lock = ctypes.create_string_buffer(64)
    libc = ctypes.CDLL(None)
    libc.pthread_mutex_lock(lock)
    print("waiting", flush=True)
    libc.pthread_mutex_lock(lock)

def handles_signals():
    signal.signal(signal.SIGTERM, lambda *_: None)

class StandsStill:
    def is_initialized(self):
        return True
    def shutdown(self, _exiting_interpreter):
        print("leaving", flush=True)
        threading.Event().wait()
"""


def started(command: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    program = f"{PROGRAM}\ndef command():\n    {command}\n\nending.end_with(command)"
    return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, text=True, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('words')", 1, "words"),
        ("raise KeyError('a bug')", 1, "a bug"),
        ("print('words', end=''); threading.Thread(target=threading.Event().wait).start()", 0, ""),
    ],
)
def test_a_process_ends_with_the_code_of_its_command(command: str, code: int, said: str) -> None:
    process = started(command)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, said in errors) == (code, True), errors
    assert output == ("words" if "words', end" in command else "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_process_that_handles_no_signal_ends_at_once(number: signal.Signals) -> None:
    process = started("print('waiting', flush=True); time.sleep(60)")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75
    assert errors == "interrupted: stopped before the end; run the same command again to go on\n"


def test_one_whose_main_thread_hears_nothing_ends_in_time() -> None:
    process = started("handles_signals(); waits_in_c()")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.count("\n")) == (75, 1)
    assert 0.9 < time.monotonic() - begin < 10


def test_a_ray_that_stands_still_is_left_with_the_code_that_was_decided() -> None:
    process = started("sys.modules['ray'] = StandsStill(); ending._SECONDS_WITHOUT_HURRY = 0.5; sys.exit(3)")
    assert process.wait(60) == 3
    process = started("sys.modules['ray'] = StandsStill(); sys.exit(3)")
    assert process.stdout is not None
    assert process.stdout.readline() == "leaving\n"
    process.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    assert process.wait(60) == 3, "a signal that comes when all is done changes nothing"
    assert time.monotonic() - begin < 5

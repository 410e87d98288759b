"""Calls of Ray's that end: in a thread of their own, for which the caller waits a limited time.

Ray waits in C++. There no signal is heard, and a raylet or GCS that stands still is waited for without end.
So the driver's main thread makes every call that may wait through `ask`.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from pipeline.errors import JobError

SECONDS_TO_ANSWER = 60.0  # Ray's own calls of the GCS mostly give up by then
Answer = TypeVar("Answer")


class NoAnswer(JobError):
    """Ray stands still, or whatever it waits for does."""


def ask(
    call: Callable[[], Answer], seconds: float = SECONDS_TO_ANSWER, *, what: str, keep_thread: bool = False
) -> Answer:
    """What `call` returns or raises; NoAnswer if that takes longer than `seconds`.

    The call goes on in its thread all the same. `keep_thread` is that of `in_thread`.
    """
    answer = in_thread(call, f"Ray: {what}", keep_thread)
    if not wait([answer], seconds).done:
        raise NoAnswer(
            f"Ray gave no answer for {seconds:g} s ({what}): its raylet or GCS seems to stand still; see to "
            "the cluster (`ray status`), and run the same command again"
        )
    return answer.result()


def in_thread(call: Callable[[], Answer], name: str, keep_thread: bool = False) -> Future[Answer]:
    """Call in a daemon thread, for which no exit waits.

    With `keep_thread` the thread lives as long as this process: the kernel kills processes that are to end
    with their parent once the thread ends that started them.
    """
    answer: Future[Answer] = Future()

    def answering() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)
        if keep_thread:
            threading.Event().wait()

    threading.Thread(target=answering, name=name, daemon=True).start()
    return answer

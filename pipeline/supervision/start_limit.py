"""A limit on how often a replica is started: too many deaths in a row before the first shard fail the job.

On a machine where every process dies, no row is to blame: a process that dies before its first shard counts
against no shard. Ray alone would restart such a replica for ever.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import GetTimeoutError

from pipeline.errors import JobError, describe_without_message, hide_row_text
from pipeline.storage.credentials import redact

_SECONDS_TO_ANSWER = 120.0  # its watchdog has it started anew much sooner
_MOST_DEATHS = 4  # in a row; more than one, since a machine may be lost while the model loads

logger = logging.getLogger(__name__)


@contextmanager
def starting(coordinator: Any, replica: str) -> Iterator[None]:
    """Run in the block all that a replica does before its first shard; after it the replica is ready.

    `coordinator` is the handle of a `Coordinator`, `replica` the actor's id. A RuntimeError is the machine's
    (a device failed, a rank died): it ends the process, and Ray starts another. Other errors are the job's
    and are passed on, as `hide_row_text` does.

    JobError, before the block, if too many processes of this replica in a row died in it.
    """
    died_on = _answer(coordinator.start.remote(replica, socket.gethostname()))
    if len(died_on) >= _MOST_DEATHS:
        raise JobError(
            f"a replica died {len(died_on)} times while it loaded the model and tried it, on "
            f"{', '.join(sorted(set(died_on)))}: the logs of the replicas may say why, or those of the "
            "machine (is its memory too small?)"
        )
    with hide_row_text():
        try:
            yield
        except RuntimeError as error:
            # The message is logged: it can quote no row, since none has come yet, and it names the fault.
            words = redact(str(error))
            logger.critical(
                "the machine failed, this replica ends: %s; %s", words, describe_without_message(error)
            )
            logging.shutdown()
            os._exit(1)
    _answer(coordinator.ready.remote(replica))


def _answer(question: Any) -> Any:
    """The coordinator's; a replica that gets none ends, as if its machine had failed."""
    try:
        return ray.get(question, timeout=_SECONDS_TO_ANSWER)
    except GetTimeoutError:
        logger.critical("no answer from the coordinator for %g s: this replica ends", _SECONDS_TO_ANSWER)
        logging.shutdown()
        os._exit(1)

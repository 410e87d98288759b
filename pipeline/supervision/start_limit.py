"""How a replica starts: counted, and given up where its process dies again and again before it takes a shard.

A machine on which every process dies must not pass for rows that kill: what dies before the first shard has
none to blame. Ray alone would start such a replica for ever.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from pipeline.errors import JobError, kind_and_places, quoting_no_row
from pipeline.storage.urls import redact

_MOST_DEATHS = 4  # in a row; a machine may take one away while another loads

logger = logging.getLogger(__name__)


@contextmanager
def starting(gate: Any, replica: str) -> Iterator[None]:
    """Around all that a replica does before its first shard; at the end it counts as started.

    `gate` is the handle of a `pipeline.supervision.coordinator.Gate`, `replica` the actor's id.
    RuntimeErrors are the machine's (a device, a rank that died): they end the process, and Ray starts
    another. Other errors are the job's and are passed on, as `quoting_no_row` does.

    JobError, before the block, if too many processes of this replica died in it.
    """
    died_on = ray.get(gate.start.remote(replica, socket.gethostname()))
    if len(died_on) >= _MOST_DEATHS:
        raise JobError(
            f"a replica died {len(died_on)} times while it loaded the model and tried it, on "
            f"{', '.join(sorted(set(died_on)))}: the logs of the replicas may say why, or those of the "
            "machine (is its memory too small?)"
        )
    with quoting_no_row():
        try:
            yield
        except RuntimeError as error:
            # No row has come yet, and what a device says of itself is what helps.
            words = redact(str(error))
            logger.critical("the machine failed, this replica ends: %s; %s", words, kind_and_places(error))
            logging.shutdown()
            os._exit(1)
    ray.get(gate.ready.remote(replica))

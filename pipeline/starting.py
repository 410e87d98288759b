"""How a replica starts: watched and counted while it loads, and tried out before it takes its first shard.

A machine on which every process dies must not pass for rows that kill: what dies before the first shard has
none to blame. And a replica whose process always dies while it loads ends the job, since Ray alone would
start it for ever.
"""

import logging
import os
import socket
from collections.abc import Callable
from typing import Any

import ray

from model.engine import Engine
from model.sampling_params import SamplingParams
from pipeline.durable.watchdog import Watchdog
from pipeline.errors import JobError

_MOST_STARTS = 4  # in a row; a machine may take one away while another loads

logger = logging.getLogger(__name__)


def start_engine(load: Callable[[], Engine], watchdog: Watchdog, gate: Any) -> Engine:
    """Load an engine in a replica's process and run a row on it; `gate` is a `Gate`'s handle.

    JobError if too many of the replica's processes died so far. Where the machine fails (a device, a rank
    that died), this process ends too, and Ray starts another: ValueError and the like come from the job.
    """
    replica = ray.get_runtime_context().get_actor_id()
    starts = ray.get(gate.start.remote(replica))
    if starts > _MOST_STARTS:
        raise JobError(
            f"a replica died {starts - 1} times while it loaded the model and tried it, the next time would "
            f"have been on {socket.gethostname()}: the logs of the replicas may say why, or those of the "
            "machine (is its memory too small?)"
        )
    with watchdog.alive():
        try:
            engine = load()
            watchdog.take_along(engine.ranks.process_ids[1:])
            engine.generate([[0]], SamplingParams(max_new_tokens=2, ignore_eos=True))
        except RuntimeError:
            logger.exception("the machine failed while the replica started; it ends its process")
            logging.shutdown()
            os._exit(1)
    ray.get(gate.ready.remote(replica))
    return engine

"""`engine.deterministic: shard`: the same bytes in every generations file, whatever happened on the way."""

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

from model.engine import Engine
from model.requests.request import Request
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError, Interrupted
from pipeline.replicas.load_engine import ReplicaOptions
from pipeline.run import run
from tests.faults.test_replicas import Recorded, incarnations, prompts

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test
MakeConfig = Callable[..., JobConfig]


class OneKilledAtWork(Recorded):
    """Of all processes the first to be given a row of the job's is killed, with that row."""

    def load_engine(self, options: ReplicaOptions) -> Engine:
        engine = super().load_engine(options)
        submit, killed = engine.submit, Path(options.store.root) / "_job/killed"

        def submit_or_die(request: Request) -> None:
            submit(request)
            if "#" in request.key:  # not what it tries itself with
                with suppress(FileExistsError):
                    killed.touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)

        engine.submit = submit_or_die  # type: ignore[method-assign]
        return engine


def changed(config: JobConfig, out: str, **sections: Any) -> JobConfig:
    """The same job over the same file, in another output folder."""
    data = config.model_dump(exclude_unset=True)
    data["output"]["path"] = str(Path(config.output.path).parent / out)
    for name, section in sections.items():
        data[name] = data.get(name, {}) | section
    return JobConfig.model_validate(data)


def parts(config: JobConfig) -> dict[str, str]:
    paths = Path(config.output.path).glob("generations/*.parquet")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def attempts(config: JobConfig) -> list[dict[str, Any]]:
    paths = Path(config.output.path).glob("_job/attempts/*.json")
    return [json.loads(path.read_text()) for path in paths]


def once(happened: Callable[[], bool], act: Callable[[], None]) -> None:
    def wait_and_act() -> None:
        while not happened():
            time.sleep(0.01)
        act()

    threading.Thread(target=wait_and_act, daemon=True).start()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_replicas_kills_and_resumes_change_no_byte(make_config: MakeConfig) -> None:
    calm = make_config(
        prompts(100),
        input={"shard_rows": 10},
        generation={"max_new_tokens": 12, "temperature": 1.0, "top_p": 0.95, "logprobs": True},
        engine={"deterministic": "shard", "replicas": 1, "max_batch_rows": 6},
    )
    run(calm)
    expected = parts(calm)
    assert len(expected) == 10

    stopped = changed(calm, "stopped")
    once(lambda: len(parts(stopped)) > 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted):
        run(stopped, Recorded)
    assert 2 <= len(parts(stopped)) < 10

    # Four replicas, the first of which to work is killed. Its shard is tried in pieces then, as one death is
    # enough for that; they must leave no trace.
    resumed = changed(stopped, "stopped", engine={"replicas": 4}, errors={"max_attempts": 1})
    run(resumed, OneKilledAtWork)
    assert any(attempt["alone"] and attempt["piece"]["end"] for attempt in attempts(resumed))
    assert parts(resumed) == expected

    with pytest.raises(ConfigError, match=r"engine\.max_batch_rows: was 6, is 7"):
        run(changed(calm, "out", engine={"max_batch_rows": 7}))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ranks_that_share_a_replica_change_no_byte_either(make_config: MakeConfig, checkpoint: Any) -> None:
    calm = make_config(
        prompts(60),
        model={"path": str(checkpoint.folder), "tensor_parallel": 2},
        input={"shard_rows": 10},
        generation={"max_new_tokens": 12, "temperature": 1.0, "logprobs": True},
        engine={"deterministic": "shard", "replicas": 1, "max_batch_rows": 6},
    )
    run(calm)
    expected = parts(calm)
    assert len(expected) == 6

    killed = changed(calm, "killed", engine={"replicas": 2})
    once(
        lambda: len(parts(killed)) > 0,
        lambda: os.kill(incarnations(killed)[0]["pids"][1], signal.SIGKILL),  # the replica's second rank
    )
    run(killed, Recorded)
    assert len(incarnations(killed)) > 2
    assert parts(killed) == expected


@pytest.mark.slow
def test_labels_have_the_same_bytes_from_any_number_of_replicas(make_config: MakeConfig) -> None:
    one = make_config(
        [{"text": f"Ticket {n} " + "is late again. " * (n % 7)} for n in range(40)],
        task="label",
        prompt={"template": "Answer.\n{{ text }}"},
        label={"choices": ["yes", "no", "don't know"]},
        engine={"deterministic": "shard", "replicas": 1, "max_batch_rows": 5},
        output={"path": make_config([]).output.path},
    )
    run(one)
    four = changed(one, "four", engine={"replicas": 4})
    run(four)
    assert len(parts(one)) == 5
    assert parts(four) == parts(one)

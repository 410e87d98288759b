"""python -m tests.chaos.stock JOB.yaml: the job's rows by plain Ray Data, an actor doing the same work."""

import sys
import time
from pathlib import Path
from typing import Any

import ray
import yaml

from tests.chaos.inputs import NEW_TOKENS, VOCABULARY
from tests.chaos.replica import STEP_SECONDS, PromptSums, token


class Actor:
    def __init__(self) -> None:
        self._ranks = PromptSums(2)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        sums = self._ranks.of([list(map(int, ids)) for ids in batch["ids"]])
        time.sleep(STEP_SECONDS * NEW_TOKENS)
        answers = [[token(total, k, VOCABULARY) for k in range(NEW_TOKENS)] for total in sums]
        return {"note": batch["note"], "token_ids": answers}


def main(config: Path) -> None:
    job = yaml.safe_load(config.read_text())
    ray.init()
    rows = ray.data.read_json(job["input"]["path"], lines=True, override_num_blocks=50)
    compute = ray.data.ActorPoolStrategy(size=1)
    answered = rows.map_batches(Actor, batch_size=job["input"]["shard_rows"], compute=compute, num_gpus=2)
    answered.write_parquet(job["output"]["path"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""What a task asks the model once a job, before any row: the answers by which all replicas of all runs go.

_job/first_answers.json         those of the replica that had them first

Each replica asks for itself and goes by what stands here, since machines of two kinds may answer differently
in the last bits, and so may a machine with other batches. So a row's values do not depend on which replica
computes it, nor on how often the job was resumed.
"""

import hashlib
import json
from typing import Any

from pipeline.durable.damage import naming_damage
from pipeline.durable.operations import Read, Steps, first_wins

FIRST_ANSWERS = "_job/first_answers.json"
_DIGEST = "sha256"


def agree_on(answers: list[Any]) -> Steps[list[Any]]:
    """The job's answers: `answers`, values that JSON can hold, or those of a replica that was faster.

    Floats are kept to their last bit. DamagedFile if what stands there is not what was written.
    """
    return _answers_of((yield from first_wins(FIRST_ANSWERS, _sealed(answers))))


def stored_answers() -> Steps[list[Any] | None]:
    """The job's answers, if there are any yet; DamagedFile if they are not what was written."""
    stored = yield Read(FIRST_ANSWERS)
    return None if stored is None else _answers_of(stored)


def _sealed(answers: list[Any]) -> bytes:
    """The file; equal answers give equal bytes."""
    digest = hashlib.sha256(json.dumps(answers).encode()).hexdigest()
    return json.dumps({"answers": answers, _DIGEST: digest}).encode() + b"\n"


def _answers_of(stored: bytes) -> list[Any]:
    with naming_damage(FIRST_ANSWERS):
        answers: list[Any] = json.loads(stored)["answers"]
        if _sealed(answers) != stored:
            raise ValueError("its bytes are not those that were written")
    return answers

"""What a task asks the model once a job, before any row: the answers by which all replicas of all runs go.

_job/first_answers.json         those of the replica that had them first

Each replica asks for itself and goes by what stands here, since machines of two kinds may answer differently
in the last bits, and so may a machine with other batches. So a row's values do not depend on which replica
computes it, nor on how often the job was resumed.
"""

import hashlib
import json
from typing import Any

from pipeline.durable.damage import damaged, naming_damage
from pipeline.durable.operations import Read, Steps, first_wins

FIRST_ANSWERS = "_job/first_answers.json"
_DIGEST = "sha256"


def agree_on(answers: dict[str, Any]) -> Steps[dict[str, Any]]:
    """The job's answers: `answers`, values by what they are of, or those of a replica that was faster.

    JSON must be able to hold them; floats are kept to their last bit. DamagedFile if what stands there is not
    what was written, or is of something else.
    """
    agreed = _answers_of((yield from first_wins(FIRST_ANSWERS, _sealed(answers))))
    if _names(agreed) != _names(answers):
        raise damaged(FIRST_ANSWERS, "it is of other choices, questions or texts than this job's")
    return agreed


def stored_answers() -> Steps[dict[str, Any] | None]:
    """The job's answers, if there are any yet; DamagedFile if they are not what was written."""
    stored = yield Read(FIRST_ANSWERS)
    return None if stored is None else _answers_of(stored)


def _names(answers: Any) -> Any:
    """All of it but the values."""
    return {name: _names(one) for name, one in answers.items()} if isinstance(answers, dict) else None


def _sealed(answers: dict[str, Any]) -> bytes:
    """The file; equal answers give equal bytes."""
    digest = hashlib.sha256(json.dumps(answers).encode()).hexdigest()
    return json.dumps({"answers": answers, _DIGEST: digest}).encode() + b"\n"


def _answers_of(stored: bytes) -> dict[str, Any]:
    with naming_damage(FIRST_ANSWERS):
        answers: dict[str, Any] = json.loads(stored)["answers"]
        if _sealed(answers) != stored:
            raise ValueError("its bytes are not those that were written")
    return answers

"""The instruction that a job's prompts share, as tokens: replicas compute it once instead of for every row.

It is taken from the job's first shard, so that every replica, and every later run of the job, has the same
one. Rows elsewhere that begin otherwise are computed whole.
"""

from itertools import takewhile

from pipeline.preflight.job import Job
from pipeline.shards.plan import Plan

_SHORTEST = 16  # tokens; computing fewer anew costs less than merging them in


def shared_prefix(job: Job, plan: Plan) -> list[int]:
    """What all prompts of the first shard begin with, each having more; [] where that is not worth it."""
    if not plan.shards:
        return []
    column = job.preparation.prepared(plan.shards[0])["prompt_token_ids"]
    prompts = [token_ids for token_ids in column.to_pylist() if token_ids]
    if len(prompts) < 2:
        return []
    # What the first and the last in order have in common, all in between have.
    pairs = zip(min(prompts), max(prompts), strict=False)
    shared = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    shared = shared[: min(map(len, prompts)) - 1]
    return shared if len(shared) >= _SHORTEST else []

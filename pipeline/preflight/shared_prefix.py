"""The instruction that a job's prompts share, as tokens: replicas compute it once instead of for every row.

It is taken from the job's first shard, so that every replica, and every later run of the job, has the same
one. Rows of other shards that do not begin with it are computed in full.
"""

from itertools import takewhile

import pyarrow as pa

_SHORTEST = 16  # tokens; computing a shorter prefix anew costs less than merging it in


def shared_prefix(prepared: pa.Table) -> list[int]:
    """The tokens with which all prompts of prepared rows begin, each with more to come; [] if too few."""
    column = prepared["prompt_token_ids"]
    prompts = [token_ids for token_ids in column.to_pylist() if token_ids]
    if len(prompts) < 2:
        return []
    # In sorted order, the tokens that the first and the last prompt share are shared by all between them.
    pairs = zip(min(prompts), max(prompts), strict=False)
    shared = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    shared = shared[: min(map(len, prompts)) - 1]
    return shared if len(shared) >= _SHORTEST else []

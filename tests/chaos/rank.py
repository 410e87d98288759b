"""A rank of the fake engine: sums its share of every prompt that comes. It ends when its parent does.

python rank.py RANK SIZE: a line of JSON, a list of prompts, is answered by a line with a sum for each.
"""

import json
import sys


def partial_sum(prompt: list[int], rank: int, size: int) -> int:
    return sum(place * token for place, token in enumerate(prompt, start=1) if place % size == rank)


if __name__ == "__main__":
    rank, size = map(int, sys.argv[1:])
    for line in sys.stdin:
        sums = [partial_sum(prompt, rank, size) for prompt in json.loads(line)]
        print(json.dumps(sums), flush=True)

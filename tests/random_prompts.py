"""Prompts of many lengths, as token ids."""

import random


def random_prompts(count: int) -> list[list[int]]:
    """The same ones every time: a beginning of sequence and fewer than 40 tokens."""
    dice = random.Random(7)
    return [[1] + [dice.randrange(3, 32_000) for _ in range(dice.randrange(0, 40))] for _ in range(count)]

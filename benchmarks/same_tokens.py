"""Whether contenders generate transformers' tokens and, where one does not, how nearly it did.

`python -m benchmarks.same_tokens TASK` looks rows up in transformers; the task is that of `_Question`.

Sums in another order differ in their last bits. That changes a token where two are almost equally likely, or
where the router scores two experts almost the same, by which all that follows may change.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.contender import INT8, Result
from benchmarks.own_process import call
from benchmarks.workload import Workload

TOKENS_APART = 1e-4  # of two logits: nearer ones are a near-tie
EXPERTS_APART = 1e-5  # the same of the router's


@dataclass(frozen=True)
class Difference:
    """The first token in which a row differs from transformers'."""

    row: int
    token: int  # its number in the row's tokens
    tokens_apart: float  # transformers' logits of its own token and of the other, their difference
    experts_apart: float | None  # the least, up to there, between the last expert chosen and the next

    @property
    def near_tie(self) -> bool:
        experts = self.experts_apart
        return self.tokens_apart < TOKENS_APART or (experts is not None and experts < EXPERTS_APART)


def same_tokens(
    workload: Workload, results: dict[str, list[Result]], folder: str, threads: int, dtype: torch.dtype
) -> dict[str, dict[str, Any]]:
    """Of each contender but the one in 8 bits: how many rows are transformers', and in float32 the others.

    Nothing where transformers, in static batches, did not generate. RuntimeError if it can't be looked up.
    """
    generated = {name: runs[-1].token_ids for name, runs in results.items() if name != INT8}
    reference = next((ids for name, ids in generated.items() if ids and name.startswith("hf static")), None)
    if reference is None:
        return {}
    differ = {
        name: [(row, at) for row, at in enumerate(map(first_difference, reference, ids)) if at is not None]
        for name, ids in generated.items()
        if ids is not None
    }
    found: dict[str, dict[str, Any]] = {
        name: {"rows": len(reference), "same": len(reference) - len(rows)} for name, rows in differ.items()
    }
    if dtype is torch.float32:
        asked = [(name, row, at) for name, rows in differ.items() for row, at in rows]
        texts = [
            {
                "token_ids": workload.prompts[row] + reference[row][:at],
                "pair": [reference[row][at], (generated[name] or [])[row][at]],
            }
            for name, row, at in asked
        ]
        gaps = _looked_up(texts, folder, threads) if texts else []
        for name in differ:
            found[name]["differences"] = []
        for (name, row, at), (tokens, experts) in zip(asked, gaps, strict=True):
            one = Difference(row, at, tokens, experts)
            found[name]["differences"].append(asdict(one) | {"near_tie": one.near_tie})
    return found


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """ValueError if one has more tokens than the other."""
    pairs = enumerate(zip(one, other, strict=True))
    return next((at for at, (a, b) in pairs if a != b), None)


def _looked_up(texts: list[dict[str, Any]], folder: str, threads: int) -> list[tuple[float, float | None]]:
    with tempfile.TemporaryDirectory(prefix="same-tokens-") as temporary:
        file = Path(temporary, "texts.json")
        file.write_text(json.dumps(texts))
        argument = {"folder": folder, "file": str(file), "threads": threads}
        return [tuple(pair) for pair in call("benchmarks.same_tokens", argument, threads)["gaps"]]


@torch.inference_mode()
def gaps(model: Any, token_ids: list[int], pair: list[int]) -> tuple[float, float | None]:
    """How far apart the logits of a pair of tokens are behind a text, and how near experts were in it."""
    found = model(torch.tensor([token_ids], device=model.device), output_router_logits=True)
    one, other = found.logits[0, -1, pair].tolist()
    routers = [logits for logits in found.router_logits or () if logits.dim() == 2]
    if not routers:
        return abs(one - other), None
    chosen = model.config.num_experts_per_tok
    best = torch.cat(routers).float().topk(chosen + 1).values
    return abs(one - other), float((best[:, -2] - best[:, -1]).min())


if __name__ == "__main__":
    from benchmarks.transformers_peer import load

    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    of_transformers = load(Path(given["folder"]), "float32")
    read = json.loads(Path(given["file"]).read_text())
    print(json.dumps({"gaps": [gaps(of_transformers, text["token_ids"], text["pair"]) for text in read]}))

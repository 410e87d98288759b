"""Places to test on: a local folder, memory://, S3 and GCS; and rows as a router would count them."""

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.requests.row_routing import RowRouting
from pipeline.storage.urls import filesystem


@pytest.fixture(params=["local", "memory", "s3", "gcs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder of each kind, as a path or URL."""
    if request.param == "local":
        return str(tmp_path / "place")
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def write(url: str, data: bytes) -> str:
    """Put a file anywhere and return where."""
    fs, path = filesystem(url)
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    fs.pipe_file(path, data)
    return url


@pytest.fixture(scope="session")
def make_routing() -> Callable[..., RowRouting]:
    """What one row of random tokens would count, added up token by token."""

    def make(
        dice: np.random.Generator,
        prefill: int = 5,
        decode: int = 3,
        layers: int = 3,
        chosen: int = 2,
        experts: int = 4,
    ) -> RowRouting:
        L, K, E = layers, chosen, experts
        counts = {
            name: np.zeros((2, *shape), dtype=np.int64)
            for name, shape in {
                "tokens": (), "computed": (), "chosen": (L, K, E), "gate_q": (L, K, E), "prob_q": (L, E),
                "pairs": (L, E, E), "next_pairs": (), "repeat_first": (L,), "repeat_any": (L,),
                "entropy_q": (L,),
            }.items()
        }  # fmt: skip
        before: dict[int, list[int]] = {}
        for token in range(prefill + decode):
            phase = int(token >= prefill)
            counts["tokens"][phase] += 1
            counts["computed"][phase] += 1
            counts["next_pairs"][phase] += token > 0
            for layer in range(L):
                picks = dice.permutation(E)[:K].tolist()
                counts["chosen"][phase, layer, range(K), picks] += 1
                counts["gate_q"][phase, layer, range(K), picks] += dice.integers(0, 1 << 16, K)
                counts["prob_q"][phase, layer] += dice.integers(0, 1 << 16, E)
                counts["entropy_q"][phase, layer] += dice.integers(0, int(np.log(E) * (1 << 16)))
                if K > 1:
                    counts["pairs"][phase, layer, picks[0], picks[1]] += 1
                if token:
                    counts["repeat_first"][phase, layer] += picks[0] == before[layer][0]
                    counts["repeat_any"][phase, layer] += bool({*picks} & {*before[layer]})
                before[layer] = picks
        return RowRouting(**counts)

    return make

"""Router statistics as tables: the one that is stored for a shard, and those that are published.

L layers, E experts, K chosen per token, G groups. A shard's sums are stored with one line for each (group,
phase, layer); the published tables are the job's sums laid out by expert, by pair and by layer.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.requests.row_routing import Counts
from pipeline.router.sums import COUNTS, Sums
from pipeline.storage.sealed_parquet import sealed_bytes

PHASES = ("prefill", "decode")
_SHAPES: dict[str, tuple[int, ...]] = {
    "chosen": (1, 2, 2), "gate_q": (1, 2, 2), "prob_q": (1, 2), "pairs": (1, 2, 2),
    "repeat_first": (1,), "repeat_any": (1,), "entropy_q": (1,),
}  # fmt: skip
# Sums of no token, whose tables have the columns of all others.
NOTHING: Sums = {"": {name: np.zeros((2, *_SHAPES.get(name, ())), np.int64) for name in COUNTS}}
_PER_PHASE = ("tokens", "computed", "next_pairs")  # [2]; all other sums are by phase and layer


def to_parquet(sums: Sums) -> bytes:
    """A shard's sums: one line for each (group, phase, layer), its counts as flat lists."""
    schema = pa.schema(
        [("group", pa.string()), ("phase", pa.int8()), ("layer", pa.int16())]
        + [(name, pa.list_(pa.int64())) for name in COUNTS]
    )
    table = schema.empty_table()
    if sums:
        columns = [*_keys(sums, 1), *(_lists(_by_line(sums, name)) for name in COUNTS)]
        table = pa.table(columns, names=schema.names).cast(schema)
    return sealed_bytes(table)


def from_parquet(data: bytes) -> Sums:
    # it is small: threads double the time
    table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    groups = table["group"].unique().to_pylist()
    if not groups:
        return {}
    flat = {name: table[name].combine_chunks().flatten().to_numpy() for name in COUNTS}
    experts = len(flat["prob_q"]) // len(table)
    inner = {
        "chosen": (-1, experts), "gate_q": (-1, experts), "prob_q": (experts,), "pairs": (experts, experts)
    }  # fmt: skip
    layers = len(table) // len(groups) // len(PHASES)
    shaped = {
        name: values.reshape(len(groups), len(PHASES), layers, *inner.get(name, ()))
        for name, values in flat.items()
    }
    for name in _PER_PHASE:
        shaped[name] = shaped[name][:, :, 0]
    return {group: {name: shaped[name][index] for name in COUNTS} for index, group in enumerate(groups)}


def experts_table(sums: Sums) -> pa.Table:
    """group, phase, layer, expert -> how often it was chosen, with what weight and probability."""
    chosen, gate_q = (_two_choices(_by_line(sums, name)) for name in ("chosen", "gate_q"))
    return _table(
        sums,
        {
            "expert": np.arange(chosen.shape[-1]),
            "first": chosen[..., 0, :],
            "second": chosen[..., 1, :],
            "selected": chosen.sum(axis=-2),
            "gate_first_q": gate_q[..., 0, :],
            "gate_second_q": gate_q[..., 1, :],
            "prob_q": _by_line(sums, "prob_q"),
            "tokens": _by_line(sums, "tokens")[..., None],
        },
    )


def _two_choices(values: Counts) -> Counts:  # [..., K, E] -> [..., max(K, 2), E]
    return values if values.shape[-2] > 1 else np.concatenate([values, np.zeros_like(values)], axis=-2)


def pairs_table(sums: Sums) -> pa.Table:
    """group, phase, layer, first choice, second choice -> tokens with that pair."""
    pairs = _by_line(sums, "pairs")
    first, second = np.nonzero(~np.eye(pairs.shape[-1], dtype=bool))
    return _table(sums, {"first": first, "second": second, "count": pairs[..., first, second]})


def layers_table(sums: Sums) -> pa.Table:
    """group, phase, layer -> tokens, consecutive tokens that share an expert, and entropy."""
    columns = {
        "tokens": "tokens",
        "tokens_computed": "computed",
        **{name: name for name in ("next_pairs", "repeat_first", "repeat_any", "entropy_q")},
    }
    return _table(sums, {column: _by_line(sums, name)[..., None] for column, name in columns.items()})


def _by_line(sums: Sums, name: str) -> Counts:
    """The counts of all groups, in the order of their names: [G, 2, L, ...]."""
    values = np.stack([sums[group][name] for group in sorted(sums)])
    return np.repeat(values[..., None], _layers(sums), axis=-1) if name in _PER_PHASE else values


def _layers(sums: Sums) -> int:
    return len(next(iter(sums.values()))["prob_q"][0])


def _table(sums: Sums, columns: Mapping[str, Counts]) -> pa.Table:
    """`columns` broadcast to [G, 2, L, N]; the table has N lines for each group, phase and layer."""
    shape = np.broadcast_shapes(*(values.shape for values in columns.values()))
    group, phase, layer = _keys(sums, shape[-1])
    return pa.table(
        {"group": group, "phase": pa.array(PHASES).take(phase), "layer": layer}
        | {name: np.broadcast_to(values, shape).ravel() for name, values in columns.items()}
    )


def _keys(sums: Sums, lines: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Columns of group, phase (as an index into PHASES) and layer, with `lines` lines for each of them."""
    shape = (len(sums), len(PHASES), _layers(sums), lines)
    group, phase, layer = (pa.array(numbers.ravel()) for numbers in np.indices(shape)[:3])
    return pa.array(sorted(sums), pa.string()).take(group), phase, layer


def _lists(values: Counts) -> pa.Array:
    """[G, 2, L, ...] -> a flat list for each group, phase and layer."""
    flat = values.reshape(*values.shape[:3], -1)
    offsets = np.arange(0, flat.size + 1, flat.shape[-1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, flat.ravel())

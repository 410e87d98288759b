"""Router statistics of many rows: summed by group within a shard, then over all shards.

L layers, E experts, K chosen per token. A shard's sums are stored with one line for each (group, phase,
layer); the published tables are those sums laid out by expert, by pair and by layer. All are int64, so the
order of adding is of no matter.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.row_routing import Counts, RowRouting

ROUTER_COLUMN = "_router"  # in which a block of finished rows carries its shard's sums
PHASES = ("prefill", "decode")
_PER_PHASE = ("tokens", "computed", "next_pairs")  # [2]; all other sums are by phase and layer
_NAMES = [field.name for field in fields(RowRouting)]
Sums = dict[str, dict[str, Counts]]  # group -> name -> sum, shaped as in RowRouting


def sum_by_group(rows: Iterable[tuple[str, RowRouting]]) -> Sums:
    sums: Sums = {}
    for group, routing in rows:
        _add(sums, group, {name: getattr(routing, name) for name in _NAMES})
    return sums


def merge(parts: Iterable[Sums]) -> Sums:
    total: Sums = {}
    for part in parts:
        merge_into(total, part)
    return total


def merge_into(total: Sums, part: Sums) -> None:
    for group, counts in part.items():
        _add(total, group, counts)


def _add(sums: Sums, group: str, counts: dict[str, Counts]) -> None:
    if group not in sums:
        sums[group] = {name: values.copy() for name, values in counts.items()}
        return
    for name, values in counts.items():
        sums[group][name] += values


def to_parquet(sums: Sums) -> bytes:
    """A shard's sums: one line for each (group, phase, layer), its counts as flat lists."""
    lines = [
        {"group": group, "phase": phase, "layer": layer}
        | {name: _at(counts, name, phase, layer).ravel().tolist() for name in _NAMES}
        for group, counts, phase, layer in _lines(sums)
    ]
    schema = pa.schema(
        [("group", pa.string()), ("phase", pa.int8()), ("layer", pa.int16())]
        + [(name, pa.list_(pa.int64())) for name in _NAMES]
    )
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(lines, schema=schema), buffer, compression="zstd")
    return bytes(buffer.getvalue())


def from_parquet(data: bytes) -> Sums:
    table = pq.read_table(pa.BufferReader(data))
    groups: dict[str, list[dict[str, Any]]] = {}
    for line in table.to_pylist():
        groups.setdefault(line["group"], []).append(line)
    return {group: _from_lines(lines) for group, lines in groups.items()}


def _from_lines(lines: list[dict[str, Any]]) -> dict[str, Counts]:
    layers = max(line["layer"] for line in lines) + 1
    sums: dict[str, Counts] = {}
    by_place = sorted(lines, key=lambda line: (line["phase"], line["layer"]))
    for name in _NAMES:
        values = np.array([line[name] for line in by_place], dtype=np.int64)
        shaped = values.reshape(len(PHASES), layers, -1)
        sums[name] = shaped[:, 0, 0] if name in _PER_PHASE else shaped
    experts = sums["prob_q"].shape[-1]
    sums["pairs"] = sums["pairs"].reshape(len(PHASES), layers, experts, experts)
    for name in ("chosen", "gate_q"):
        sums[name] = sums[name].reshape(len(PHASES), layers, -1, experts)
    for name in ("repeat_first", "repeat_any", "entropy_q"):
        sums[name] = sums[name][..., 0]
    return sums


def _at(counts: dict[str, Counts], name: str, phase: int, layer: int) -> Counts:
    values: Counts = counts[name][phase] if name in _PER_PHASE else counts[name][phase, layer]
    return np.asarray(values)


def _lines(sums: Sums) -> Iterable[tuple[str, dict[str, Counts], int, int]]:
    for group in sorted(sums):
        for phase in range(len(PHASES)):
            for layer in range(sums[group]["prob_q"].shape[1]):
                yield group, sums[group], phase, layer


def experts_table(sums: Sums) -> pa.Table:
    """group, phase, layer, expert -> how often it was chosen, with what weight and probability."""
    lines = []
    for group, counts, phase, layer in _lines(sums):
        chosen, gate_q = (_second_rank(counts[name][phase, layer]) for name in ("chosen", "gate_q"))  # [K, E]
        for expert in range(chosen.shape[1]):
            lines.append(
                {
                    "group": group,
                    "phase": PHASES[phase],
                    "layer": layer,
                    "expert": expert,
                    "first": chosen[0, expert],
                    "second": chosen[1, expert],
                    "selected": chosen[:, expert].sum(),
                    "gate_first_q": gate_q[0, expert],
                    "gate_second_q": gate_q[1, expert],
                    "prob_q": counts["prob_q"][phase, layer, expert],
                    "tokens": counts["tokens"][phase],
                }
            )
    return _table(lines, "expert first second selected gate_first_q gate_second_q prob_q tokens")


def _second_rank(values: Counts) -> Counts:  # [K, E] -> [max(K, 2), E]
    return values if len(values) > 1 else np.concatenate([values, np.zeros_like(values)])


def pairs_table(sums: Sums) -> pa.Table:
    """group, phase, layer, first choice, second choice -> tokens with that pair."""
    lines = [
        {
            "group": group,
            "phase": PHASES[phase],
            "layer": layer,
            "first": first,
            "second": second,
            "count": counts["pairs"][phase, layer, first, second],
        }
        for group, counts, phase, layer in _lines(sums)
        for first, second in np.ndindex(*counts["pairs"].shape[2:])
        if first != second
    ]
    return _table(lines, "first second count")


def layers_table(sums: Sums) -> pa.Table:
    """group, phase, layer -> tokens, consecutive tokens that share an expert, and entropy."""
    lines = [
        {
            "group": group,
            "phase": PHASES[phase],
            "layer": layer,
            "tokens": counts["tokens"][phase],
            "tokens_computed": counts["computed"][phase],
            "next_pairs": counts["next_pairs"][phase],
            "repeat_first": counts["repeat_first"][phase, layer],
            "repeat_any": counts["repeat_any"][phase, layer],
            "entropy_q": counts["entropy_q"][phase, layer],
        }
        for group, counts, phase, layer in _lines(sums)
    ]
    return _table(lines, "tokens tokens_computed next_pairs repeat_first repeat_any entropy_q")


def _table(lines: list[dict[str, Any]], columns: str) -> pa.Table:
    schema = pa.schema(
        [("group", pa.string()), ("phase", pa.string()), ("layer", pa.int64())]
        + [(name, pa.int64()) for name in columns.split()]
    )
    return pa.Table.from_pylist(lines, schema=schema)

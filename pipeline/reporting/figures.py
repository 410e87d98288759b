"""Figures of the published router tables, for reports and notebooks."""

import math

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure


def routing_heatmap(experts: pd.DataFrame, groups: list[str] | None = None) -> Figure:
    """Layer x expert shares of assignments, one panel a group, diverging around the even share 1/E.

    `experts` is router/experts.parquet; prefill and decode are taken together. Shares are of assignments,
    as in the Mixtral paper (arXiv 2401.04088, figure 7): a layer's sum to 1.
    """
    shares = {group: assignment_shares(experts, group) for group in groups or sorted(set(experts["group"]))}
    even = 1 / next(iter(shares.values())).shape[1]
    spread = max(float(np.abs(share - even).max()) for share in shares.values()) or even
    norm = TwoSlopeNorm(vcenter=even, vmin=even - spread, vmax=even + spread)
    columns = min(4, len(shares))
    lines = math.ceil(len(shares) / columns)
    figure = Figure(figsize=(2.9 * columns + 0.9, 2.0 * lines + 0.6), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[len(shares) :]:
        axis.set_visible(False)
    for axis, (group, share) in zip(axes.flat, shares.items(), strict=False):
        image = axis.imshow(share, norm=norm, cmap="RdBu_r", aspect="auto")
        axis.set_title(group, fontsize=10)
        axis.set_xticks(range(share.shape[1]))
        axis.set_yticks(range(share.shape[0]))
    figure.supxlabel("expert", fontsize=10)
    figure.supylabel("layer", fontsize=10)
    bar = figure.colorbar(image, ax=axes, shrink=0.9)
    bar.set_label(f"share of assignments (even: {even:.1%})", fontsize=9)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return figure


def assignment_shares(experts: pd.DataFrame, group: str) -> np.ndarray:
    """[layers, experts]: each expert's share of its layer's assignments in a group."""
    selected = experts[experts["group"] == group].pivot_table("selected", "layer", "expert", aggfunc="sum")
    counts = selected.to_numpy(dtype=float)
    shares: np.ndarray = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares

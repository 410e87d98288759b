"""Figures of the published router tables, for reports and notebooks."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from pipeline.errors import shortened
from pipeline.router.measures import assignment_shares

_MOST_PANELS = 12
_PANELS_A_LINE = 4
_LONGEST_NAME = 22


def routing_heatmap(experts: pd.DataFrame, groups: list[str] | None = None) -> Figure:
    """Layer x expert shares of assignments, one panel a group: white is the even share 1/E.

    `experts` is router/experts.parquet; prefill and decode are taken together. Shares are of assignments,
    as in the Mixtral paper (arXiv 2401.04088, figure 7): a layer's sum to 1. Without `groups`, the largest
    ones are shown. Colours go from 0 over the even share to at least twice that, so that pictures of
    different jobs can be compared.
    """
    shares = assignment_shares(experts)
    tokens = _tokens(experts)
    shown = groups or sorted(tokens.nlargest(_MOST_PANELS).index)
    even = 1 / shares.shape[1]
    top = max(2 * even, float(shares.loc[shown].to_numpy().max()))
    norm = TwoSlopeNorm(vmin=0, vcenter=even, vmax=top)

    lines = math.ceil(len(shown) / _PANELS_A_LINE)
    columns = math.ceil(len(shown) / lines)
    num_layers = len(shares.loc[shown[0]])
    panel_height = min(max(0.3 * num_layers, 1.3), 4.5)
    height = (panel_height + 0.5) * lines + 0.4
    figure = Figure(figsize=(1.9 * columns + 1.5, height), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for panel, axis in enumerate(axes.flat):
        if panel >= len(shown):
            axis.set_visible(False)
            continue
        group = shown[panel]
        image = axis.imshow(shares.loc[group], norm=norm, cmap="RdBu_r", aspect="auto")
        _label(
            axis,
            f"{shortened(' '.join(group.split()), _LONGEST_NAME)}\n{tokens[group]:,} tokens",
            shares.shape[1],
            num_layers,
        )
        axis.tick_params(labelbottom=panel + columns >= len(shown))  # no panel below
    figure.supxlabel("expert", fontsize=9)
    figure.supylabel("layer", fontsize=9)
    bar = figure.colorbar(image, ax=axes, aspect=height / 0.16, ticks=[0, even, top])
    bar.set_label("share of assignments", fontsize=9)
    bar.ax.set_yticklabels(["0%", f"{100 * even:.3g}%\n(even)", f"{100 * top:.3g}%"], fontsize=8)
    if len(shown) < len(tokens):
        figure.suptitle(f"{len(shown)} of {len(tokens)} groups", fontsize=9)
    return figure


def _tokens(experts: pd.DataFrame) -> "pd.Series[int]":
    """Tokens of each group: every (phase, layer, expert) line repeats them."""
    return experts.groupby(["group", "phase"])["tokens"].first().groupby("group").sum()


def _label(axis: Axes, title: str, num_experts: int, num_layers: int) -> None:
    axis.set_title(title, fontsize=9, parse_math=False)  # a group may hold a dollar sign
    axis.set_xticks(range(0, num_experts, math.ceil(num_experts / 8)))
    axis.set_yticks(range(0, num_layers, math.ceil(num_layers / 8)))
    axis.tick_params(labelsize=8, length=2)

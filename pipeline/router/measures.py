"""Measures of the published router tables: shares, balance, entropy, repetition.

Each function takes a table of OUT/router as pandas reads it and returns a table by group and layer, with
prefill and decode together. To measure one phase, select its lines before the call.
"""

import numpy as np
import pandas as pd

from model.requests.row_routing import FIXED_POINT

_BY = ["group", "layer"]


def assignment_shares(experts: pd.DataFrame) -> pd.DataFrame:
    """Rows (group, layer), a column an expert: its share of the layer's assignments in that group.

    An assignment is one token sent to one expert; a token makes as many as it chooses experts. A row sums
    to 1, and an even share is 1/E. A group without a token has shares of 0.
    """
    chosen = experts.pivot_table("selected", _BY, "expert", aggfunc="sum").astype(float)
    return chosen.div(chosen.sum(axis=1).clip(lower=1), axis=0)


def load_balance(experts: pd.DataFrame) -> pd.DataFrame:
    """By layer, all groups together: how evenly the load lies on the experts.

    busiest           the expert with the largest share of assignments
    largest, smallest shares of assignments
    imbalance         largest over mean share, minus 1: 0 is even
    evenness          entropy of the shares over ln E: 1 is even, 0 is one expert alone
    """
    shares = assignment_shares(experts.assign(group="all")).droplevel("group")
    number = shares.shape[1]
    logs = np.log(shares.where(shares > 0, 1.0))
    return pd.DataFrame(
        {
            "busiest": shares.idxmax(axis=1),
            "largest": shares.max(axis=1),
            "smallest": shares.min(axis=1),
            "imbalance": shares.max(axis=1) * number - 1,
            "evenness": -(shares * logs).sum(axis=1) / np.log(number),
        }
    )


def router_decisions(layers: pd.DataFrame, num_experts: int) -> pd.DataFrame:
    """Rows (group, layer): what the router does from token to token.

    entropy       mean entropy of its probabilities at a token, over ln E: 0 is sure, 1 is undecided
    repeat_first  share of tokens whose first choice is that of the token before; 1/E by chance
    repeat_any    share of tokens that have any chosen expert in common with the token before
    """
    sums = layers.groupby(_BY)[["tokens", "next_pairs", "repeat_first", "repeat_any", "entropy_q"]].sum()
    return pd.DataFrame(
        {
            "entropy": sums["entropy_q"] / FIXED_POINT / sums["tokens"].clip(lower=1) / np.log(num_experts),
            "repeat_first": sums["repeat_first"] / sums["next_pairs"].clip(lower=1),
            "repeat_any": sums["repeat_any"] / sums["next_pairs"].clip(lower=1),
        }
    )

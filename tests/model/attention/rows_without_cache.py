"""Attention of rows with a tree, query by query in float64: the oracle of the ways to prefill."""

import torch


def visible_keys(row, window):
    """[n, S] bool: which of the row's own tokens and nodes each new token or node sees."""
    trunk, nodes = row.trunk, len(row.tree.token_ids)
    seen = torch.zeros(row.length, trunk + nodes, dtype=torch.bool)
    positions = [*range(trunk), *(trunk + depth for depth in row.tree.depths)]
    for query in range(row.length):
        token = row.cached + query
        for key in range(trunk + nodes):
            if token < trunk:
                behind = key <= token
            else:
                behind = key < trunk or bool(row.tree.ancestors[token - trunk, key - trunk])
            seen[query, key] = behind and positions[token] - positions[key] < (window or 10**6)
    return seen


def attend_one_by_one(row, q, keys, values, window):
    """Queries [n, H, hd] of the row to its keys and values [S, G, hd] -> [n, H, hd] and log-sum-exp [n, H]"""
    group = q.shape[1] // keys.shape[1]
    k, v = (x.double().repeat_interleave(group, 1) for x in (keys, values))
    scores = torch.einsum("nhd,shd->nhs", q.double(), k) * q.shape[-1] ** -0.5
    scores.masked_fill_(~visible_keys(row, window)[:, None], float("-inf"))
    return torch.einsum("nhs,shd->nhd", scores.softmax(-1), v).float(), scores.logsumexp(-1).float()

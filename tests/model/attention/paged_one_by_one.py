"""Attention of decoding rows to their pages, in float64, row by row and head by head: the kernels' oracle."""

import torch


def one_by_one(q, keys, values, table, begins, ends):
    """Queries [R, H, hd] to pages [pages, G, P, hd] -> [R, H, hd] and log-sum-exp [R, H]"""
    attended, lse = torch.empty_like(q), torch.empty(q.shape[:2])
    group, size = q.shape[1] // keys.shape[1], keys.shape[2]
    for row in range(len(q)):
        place = torch.arange(begins[row], ends[row])
        page, within = table[row, place // size].long(), place % size
        for head in range(q.shape[1]):
            k, v = keys[page, head // group, within].double(), values[page, head // group, within].double()
            scores = k @ q[row, head].double() * q.shape[-1] ** -0.5
            attended[row, head] = scores.softmax(0) @ v
            lse[row, head] = scores.logsumexp(0)
    return attended, lse

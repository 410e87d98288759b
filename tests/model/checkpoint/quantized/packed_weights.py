"""Weights packed as AWQ and GPTQ publish it, number by number: an oracle that shares no code with us.

AWQ: AutoAWQ, awq/modules/linear/gemm.py. GPTQ: AutoGPTQ, auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py.
"""

import torch

_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # number order[i] of eight lies in the i-th 4 bits


def awq(weight, group=16):
    """A weight [O, I] -> its parts, and the numbers that they are."""
    outputs, inputs = weight.shape
    codes, zeros, scales = _rounded(weight, 4, [column // group for column in range(inputs)])
    parts = {
        "qweight": _together([[codes[o][i] for o in range(outputs)] for i in range(inputs)], 4, _AWQ_ORDER),
        "qzeros": _together(zeros.T.tolist(), 4, _AWQ_ORDER),
        "scales": scales.T.half(),
    }
    return parts, _numbers(codes, zeros, scales, [column // group for column in range(inputs)])


def gptq(weight, bits=4, group=16, ordered=False, less_one=True):
    """The same; `ordered`: inputs belong to groups in a random order."""
    inputs = weight.shape[1]
    groups = [column // group for column in range(inputs)]
    if ordered:
        groups = [groups[i] for i in torch.randperm(inputs).tolist()]
    codes, zeros, scales = _rounded(weight, bits, groups)
    transposed = _together(codes, bits, range(32 // bits))  # [O, I * bits / 32]
    stored_zeros = [[(zero - less_one) % (1 << bits) for zero in of_group] for of_group in zeros.T.tolist()]
    parts = {
        "qweight": transposed.T,
        "qzeros": _together(stored_zeros, bits, range(32 // bits)),
        "scales": scales.T.half(),
        "g_idx": torch.tensor(groups, dtype=torch.int32),
    }
    return parts, _numbers(codes, zeros, scales, groups)


def _rounded(weight, bits, groups):
    """Codes as lists [O][I], zeros [O, G] and scales [O, G] that float16 holds."""
    most, count = (1 << bits) - 1, max(groups) + 1
    members = [[i for i, of in enumerate(groups) if of == group] for group in range(count)]
    low = torch.stack([weight[:, of].amin(1).clamp(max=0) for of in members], 1)
    high = torch.stack([weight[:, of].amax(1).clamp(min=0) for of in members], 1)
    scales = ((high - low) / most).clamp(min=1e-4).half().float()
    zeros = (-low / scales).round().clamp(1, most).int()
    by_input = torch.tensor(groups)
    codes = (weight / scales[:, by_input]).round() + zeros[:, by_input]
    return codes.clamp(0, most).int().tolist(), zeros, scales


def _together(rows, bits, order):
    """Numbers [n][m] -> [n, m * bits / 32] int32: number order[i] of each 32 bits in their i-th `bits`."""
    each = 32 // bits
    packed = []
    for row in rows:
        row = row + [0] * (-len(row) % each)
        words = [
            sum(row[first + number] << (place * bits) for place, number in enumerate(order))
            for first in range(0, len(row), each)
        ]
        packed.append([word - (1 << 32) if word >> 31 else word for word in words])
    return torch.tensor(packed, dtype=torch.int32)


def _numbers(codes, zeros, scales, groups):
    by_input = torch.tensor(groups)
    return (torch.tensor(codes) - zeros[:, by_input]) * scales[:, by_input]

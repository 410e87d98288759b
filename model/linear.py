"""How a weight multiplies rows: as it lies, or laid out for the CPU.

n rows, I input and O output features.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

_TYPICAL_ROWS = 32

Linear = Callable[[Tensor], Tensor]  # [n, I] -> [n, O]


def plain(weight: Tensor) -> Linear:  # [O, I]
    return lambda x: F.linear(x, weight)


def can_pack(dtype: torch.dtype, device: torch.device) -> bool:
    return device.type == "cpu" and dtype is torch.float32 and torch.backends.mkldnn.is_available()


def packed(weight: Tensor) -> Linear:  # [O, I] fp32 on a CPU
    """A copy of the weight in oneDNN's own layout, which pays where few rows meet a wide output.

    The operators are those that torch's compiler emits for a frozen linear layer.
    """
    operators = torch.ops.mkldnn
    laid_out = operators._reorder_linear_weight(weight.contiguous(), _TYPICAL_ROWS)
    return lambda x: operators._linear_pointwise(x, laid_out, None, "none", [], "")

"""Weights in the layout of oneDNN, the library by which torch multiplies on a CPU.

n rows, I input and O output features, E weights of one shape.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.linear.layout import Multiply, multiply_each
from model.machine.process_memory import move_to_huge_pages

_TYPICAL_ROWS = 32  # oneDNN chooses a layout for a number of rows


def packed(weights: Tensor) -> Multiply:  # [E, O, I]
    """Copies of the weights in oneDNN's own layout and in huge pages, which pays where few rows meet one.

    The operators are those that torch's compiler emits for a frozen linear layer. oneDNN compiles a kernel
    for each number of rows that it meets and keeps the last 1,024 of them: rows are padded to few numbers.
    """
    operators = torch.ops.mkldnn
    laid_out = [operators._reorder_linear_weight(weight.contiguous(), _TYPICAL_ROWS) for weight in weights]
    for weight in laid_out:
        move_to_huge_pages(operators.data_ptr(weight), operators._nbytes(weight))

    def multiply(x: Tensor, weight: Tensor) -> Tensor:  # [n, I] -> [n, O]
        more = rows_to_add(len(x))
        padded = F.pad(x, (0, 0, 0, more)) if more else x  # F.pad copies even where it adds none
        multiply_all = multiply_packed if x.dtype is weight.dtype else multiply_twice
        product = multiply_all(padded, weight)
        return product[: len(x)] if more else product

    return lambda x, sizes: multiply_each(multiply, laid_out, x, sizes)


def multiply_packed(x: Tensor, weight: Tensor) -> Tensor:  # [n, I] -> [n, O], all of one type
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return product


def multiply_twice(x: Tensor, weight: Tensor) -> Tensor:  # [n, I] in float32 -> [n, O] in float32
    """oneDNN adds up in float32 and rounds to the weight's type: so the rounded product is taken from what is
    added up a second time, and what remains is rounded, which then matters little.
    """
    x = x.to(weight.dtype)
    rounded = multiply_packed(x, weight)
    rest = torch.ops.mkldnn._linear_pointwise.binary(x, rounded.neg(), weight, None, "add")
    return rounded.float().add_(rest)


def rows_to_add(rows: int) -> int:
    """Padding after which only 16 numbers of rows occur between two powers of 2.

    That is less than 1/16 more rows, and none up to 32.
    """
    step = 1 << max(0, rows.bit_length() - 5)
    return -rows % step

"""New keys and values of a layer into their places in one C++ kernel of a CPU.

N real tokens of a batch, G key/value heads, hd head dimension, P places of a page. Its plain twin, which runs
where nothing can be compiled: Writes.store in kv_cache.py.
"""

import torch
from torch import Tensor

from model.attention.kv_cache import Writes


def write_pages(writes: Writes[Tensor], k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> None:
    """Keys and values [N, G, hd] into a layer's pages [pages, G, P, hd].

    Needs the library that CpuDecode.is_compiled loads. RuntimeError if a token, place or page does not exist;
    then nothing is written.
    """
    torch.ops.mixtray.write_pages(k, v, keys, values, writes.places, writes.tokens, writes.opened)

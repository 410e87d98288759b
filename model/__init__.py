"""Mixtral in PyTorch alone: token ids in, token ids or scores and routing counts out."""

import os

# torch reads it at its first allocation: large tensors in pages of 2 MiB, whose first touch costs the kernel
# one fault in place of 512 and whose reading misses the TLB less.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

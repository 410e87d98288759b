"""Mixtral in PyTorch alone: token ids in, token ids or scores and routing counts out."""

import os

# Ask torch to put large tensors into pages of 2 MiB: the first touch of one costs a single page fault in
# place of 512, and reading it misses the TLB less. torch reads the variable at its first allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

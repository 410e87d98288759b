"""What one step computes: the new tokens of its rows, side by side, and where its rows live in the cache.

B rows, N tokens of all rows. A row of the batch holds the tokens that are new in this step: a prompt or a
part of one (with its readout's tree behind it) at prefill, one token at decode. Rows of both phases may be in
one batch. Batches are sent to the other ranks, so rows carry what the network needs and no readout.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.requests.readout import NOTHING_ASKED, AskedTokens, Head
from model.requests.token_tree import NO_TREE, TokenTree

NO_PAGE = -1  # in place of a page of tokens that no later step sees


class Phase(IntEnum):
    PREFILL = 0
    DECODE = 1


@dataclass(frozen=True)
class Row:
    phase: Phase
    slot: int  # of the routing counters that the row's tokens go to
    cached: int  # tokens before these, which the cache holds
    token_ids: list[int]  # new tokens
    pages: list[int] = field(default_factory=list)  # for cached tokens, and for new ones that are kept
    tree: TokenTree = NO_TREE  # computed behind the new tokens, never kept
    keeps: bool = True  # whether the new tokens go into the pages
    shared: int = 0  # of the cached tokens, those in pages of a shared prefix
    follows: int | None = None  # the slot of the token before these, if it is another one
    counted: bool = True  # whether the router's choices are counted; not where they are computed again
    read_from: int | None = -1  # of the new tokens, the first whose outputs are wanted; None: none are
    head: Head = Head.VOCABULARY  # which outputs
    asked: AskedTokens = NOTHING_ASKED  # under the head LOGPROBS
    whole: int = 0  # positions that the row takes from its first token to its last, those to come among them
    reads_on: bool = False  # whether more of the prompt is read in the steps to come
    passed: int = 0  # pages of its first tokens, which are given back: `pages` are those behind them

    @property
    def length(self) -> int:
        return len(self.token_ids) + len(self.tree.token_ids)

    @property
    def num_read(self) -> int:
        """New tokens whose outputs are wanted: from `read_from` on, all nodes of the tree among them."""
        return 0 if self.read_from is None else self.length - self.read_from % len(self.token_ids)

    @property
    def num_outputs(self) -> int:
        return len(self.asked) if self.head is Head.LOGPROBS else self.num_read

    @property
    def is_kept(self) -> bool:
        return self.keeps and bool(self.pages)

    @property
    def trunk(self) -> int:
        """Tokens up to the last new one, without the tree."""
        return self.cached + len(self.token_ids)

    @property
    def reach(self) -> int:
        """Positions up to the last new token or node."""
        return self.trunk + self.tree.depth


@dataclass(frozen=True)
class Batch:
    rows: list[Row]  # decoding ones first, which are computed together

    @classmethod
    def of(cls, rows: list[Row]) -> "Batch":
        return cls(rows)

    @property
    def token_ids(self) -> NDArray[np.int64]:
        """[N]: those of all rows, row by row, each row's tree behind its tokens."""
        return np.array([*chain.from_iterable(row.token_ids + row.tree.token_ids for row in self.rows)])

    @property
    def positions(self) -> NDArray[np.int64]:
        """[N]"""
        return np.concatenate([*map(_positions, self.rows)])

    @property
    def wholes(self) -> NDArray[np.int64]:
        """[N]: of each token's row, `whole`."""
        return np.repeat([row.whole for row in self.rows], [row.length for row in self.rows])

    @property
    def decodes(self) -> bool:
        """Whether all its rows continue by one token."""
        return all(row.phase is Phase.DECODE for row in self.rows)

    @property
    def heads(self) -> list[Head]:
        """Those that the rows want, in an order that is the same on every rank."""
        wanted = {row.head for row in self.rows if row.num_read}
        return [head for head in Head if head in wanted]

    def reads(self, head: Head) -> NDArray[np.int64]:
        """[M]: which of the N tokens have outputs of this head, row by row."""
        wanted, end = [], 0
        for row in self.rows:
            end += row.length
            if row.head is head and row.num_read:
                wanted.append(range(end - row.num_read, end))
        return np.array([*chain.from_iterable(wanted)], dtype=np.int64)

    @property
    def asked(self) -> NDArray[np.int64]:
        """[2, Q]: what the rows ask of the head LOGPROBS: which of the M tokens is read, and the token."""
        asked, first = [], 0
        for row in self.rows:
            if row.head is Head.LOGPROBS and row.num_read:
                asked.append(np.stack((row.asked.reads + first, row.asked.token_ids)))
                first += row.num_read
        return np.concatenate(asked, axis=1)


def _positions(row: Row) -> NDArray[np.int64]:
    new = np.arange(row.cached, row.trunk)
    return np.concatenate((new, row.trunk + np.array(row.tree.depths))) if row.tree.token_ids else new


def left_pad(rows: list[list[int]], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Rows of token ids -> a left-padded batch of T positions a row, and its mask, [B, T] each."""
    lengths = np.array([*map(len, rows)], dtype=np.int64)
    longest = lengths.max(initial=0)
    mask = np.arange(longest) >= (longest - lengths)[:, None]
    token_ids = np.zeros(mask.shape, dtype=np.int64)
    token_ids[mask] = [*chain.from_iterable(rows)]
    return torch.from_numpy(token_ids).to(device), torch.from_numpy(mask).to(device)

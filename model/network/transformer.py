"""Mixtral (arXiv 2401.04088) and, without experts, Mistral-7B (arXiv 2310.06825).

B rows, T padded length, N real tokens of all rows, D width, V vocabulary. A batch comes left-padded,
[B, T] with its mask; from the embedding on, only the N real tokens are computed.
"""

from collections.abc import Callable

from torch import Tensor, nn

from model.config import ModelConfig
from model.kernels.kernels import PLAIN, Kernels
from model.linear.layout import Layout
from model.network.attention import Attend, Attention, PaddedAttention
from model.network.experts import Experts, FeedForward, RoutingObserver
from model.network.heads import head_of
from model.network.layers import RMSNorm
from model.network.rope import RoPE
from model.network.tensor_parallel import TensorParallel, VocabParallelEmbedding


class Block(nn.Module):
    def __init__(self, layer: int, config: ModelConfig, tp: TensorParallel) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.attention = Attention(layer, config, tp)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)
        self.feed_forward = Experts(layer, config, tp) if config.num_experts else FeedForward(config, tp)

    def forward(
        self,
        x: Tensor,
        update: Tensor | None,
        rope: tuple[Tensor, Tensor],
        attend: Attend,
        observe: RoutingObserver | None,
        kernels: Kernels,
    ) -> tuple[Tensor, Tensor]:
        """x [N, D] and the update that the block before has for it -> the same of this block."""
        x, normed = self.attention_norm(x, update, kernels)
        x, normed = self.ffn_norm(x, self.attention(normed, rope, attend, kernels), kernels)
        return x, self.feed_forward(normed, observe, kernels)


class Transformer(nn.Module):
    """The network; its weights are uninitialised until a checkpoint or a trainer fills them."""

    def __init__(self, config: ModelConfig, tp: TensorParallel | None = None) -> None:
        super().__init__()
        tp = tp or TensorParallel()
        self.config = config
        self.tp = tp
        self.is_laid_out = False
        self.kernels = PLAIN  # an attribute to set: others compute the same faster
        self.embedding = VocabParallelEmbedding(config.vocab_size, config.dim, tp)
        self.rope = RoPE(config.head_dim, config.rope)
        self.blocks = nn.ModuleList(Block(layer, config, tp) for layer in range(config.num_layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.head = head_of(config, tp, self.embedding)

    def lay_out(self, layout: Layout) -> None:
        """Lay out all weights that multiply; they are parameters no more.

        Embeddings, norms and heads of labels stay as they are, and so does a head that is the embedding.
        Routers are never in 8 bits.
        """
        self.is_laid_out = True
        for block in self.blocks:
            assert isinstance(block, Block)
            block.attention.lay_out(layout)
            block.feed_forward.lay_out(layout)
        if isinstance(self.head, VocabParallelEmbedding) and self.head is not self.embedding:
            self.head.lay_out(layout)

    @property
    def is_sync_free(self) -> bool:
        """Whether the host need not wait for the device between layers."""
        return all(isinstance(block, Block) and block.feed_forward.is_sync_free for block in self.blocks)

    def hidden(
        self,
        token_ids: Tensor,
        positions: Tensor,
        attend: Attend,
        observe: RoutingObserver | None = None,
        lengths: Tensor | None = None,
        show: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """Real tokens and their positions, [N] each -> normalised hidden states [N, D].

        `attend` decides which tokens each one sees; `observe` is shown every layer's routing. `lengths` [N]:
        see RoPE. `show` is shown the hidden states that transformers numbers so: 0 are the embeddings, L what
        is returned, and the others what the layer with that number reads.
        """
        x = self.embedding.embed(token_ids)
        rope = self.rope(positions, x.dtype, lengths)
        update = None
        for layer, block in enumerate(self.blocks):
            if show is not None:
                show(layer, x if update is None else x + update)
            x, update = block(x, update, rope, attend, observe, self.kernels)
        normalised: Tensor = self.norm(x, update, self.kernels)[1]
        if show is not None:
            show(len(self.blocks), normalised)
        return normalised

    def forward(self, token_ids: Tensor, mask: Tensor, observe: RoutingObserver | None = None) -> Tensor:
        """A left-padded batch without a cache: token ids and mask, [B, T] each -> the head's outputs.

        Those of the vocabulary are [B, T, V]. The mask is True at real tokens; outputs at pads are zero.
        """
        positions = mask.long().cumsum(1) - 1
        attend = PaddedAttention(mask, self.config.sliding_window)
        lengths = (
            mask.sum(1, keepdim=True).expand_as(mask)[mask] if self.config.rope.depends_on_length else None
        )
        x = self.hidden(token_ids[mask], positions[mask], attend, observe, lengths)
        outputs: Tensor = self.head(x)
        padded = outputs.new_zeros(*mask.shape, outputs.shape[-1])
        padded[mask] = outputs
        return padded

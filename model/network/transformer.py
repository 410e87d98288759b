"""Mixtral (arXiv 2401.04088) and, without experts, Mistral-7B (arXiv 2310.06825).

B rows, T padded length, N real tokens of all rows, D width, V vocabulary. A batch comes left-padded,
[B, T] with its mask; from the embedding on, only the N real tokens are computed.
"""

from torch import Tensor, nn

from model.config import ModelConfig
from model.kernels.kernels import PLAIN, Kernels
from model.linear.layout import Layout
from model.network.attention import Attend, Attention, PaddedAttention
from model.network.experts import Experts, FeedForward, RoutingObserver
from model.network.layers import RMSNorm, RoPE
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
        self.kernels = PLAIN  # an attribute to set: others compute the same faster
        self.embedding = VocabParallelEmbedding(config.vocab_size, config.dim, tp)
        self.rope = RoPE(config.head_dim, config.rope_theta)
        self.blocks = nn.ModuleList(Block(layer, config, tp) for layer in range(config.num_layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.head = (
            self.embedding
            if config.tie_embeddings
            else VocabParallelEmbedding(config.vocab_size, config.dim, tp)
        )

    def lay_out(self, layout: Layout) -> None:
        """Lay out all weights that multiply; they are parameters no more.

        Embeddings and norms stay as they are, and so does a head that is the embedding. Routers are never in
        8 bits.
        """
        for block in self.blocks:
            assert isinstance(block, Block)
            block.attention.lay_out(layout)
            block.feed_forward.lay_out(layout)
        if self.head is not self.embedding:
            self.head.lay_out(layout)

    @property
    def is_sync_free(self) -> bool:
        """Whether the host need not wait for the device between layers."""
        return all(isinstance(block, Block) and block.feed_forward.is_sync_free for block in self.blocks)

    def hidden(
        self, token_ids: Tensor, positions: Tensor, attend: Attend, observe: RoutingObserver | None = None
    ) -> Tensor:
        """Real tokens and their positions, [N] each -> normalised hidden states [N, D].

        `attend` decides which tokens each one sees; `observe` is shown every layer's routing.
        """
        x = self.embedding.embed(token_ids)
        rope = self.rope(positions, x.dtype)
        update = None
        for block in self.blocks:
            x, update = block(x, update, rope, attend, observe, self.kernels)
        normalised: Tensor = self.norm(x, update, self.kernels)[1]
        return normalised

    def forward(self, token_ids: Tensor, mask: Tensor, observe: RoutingObserver | None = None) -> Tensor:
        """A left-padded batch without a cache: token ids and mask, [B, T] each -> logits [B, T, V].

        The mask is True at real tokens; logits at pads are zero.
        """
        positions = mask.long().cumsum(1) - 1
        attend = PaddedAttention(mask, self.config.sliding_window)
        x = self.hidden(token_ids[mask], positions[mask], attend, observe)
        logits: Tensor = self.head(x)
        padded = logits.new_zeros(*mask.shape, self.config.vocab_size)
        padded[mask] = logits
        return padded

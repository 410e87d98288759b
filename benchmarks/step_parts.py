"""What a step takes at least, by part: bytes moved, operations, and the seconds that they cost.

N tokens that a step computes, R of them whose logits are wanted, C tokens that each attends to on average.
Weights are read once. What passes from one part to the next is read and written once, too.
"""

from dataclasses import dataclass

from benchmarks.floors import Speed
from model.config import ModelConfig

PROJECTIONS = "attention projections"
CACHE = "attention to the cache"
ROUTER = "router"
EXPERTS = "experts"
HEAD = "head"
NORMS = "norms"
RESIDUALS = "sums of residuals"


@dataclass(frozen=True)
class Part:
    bytes: float
    operations: float

    def seconds(self, speed: Speed) -> float:
        return max(self.bytes / speed.bytes_a_second, self.operations / speed.flops)


@dataclass(frozen=True)
class Load:
    """What a step computes; in a prefill the tokens that are attended to are the step's own."""

    tokens: int  # N
    read: int  # R
    context: float  # C
    prefill: bool


def step_parts(config: ModelConfig, load: Load, number_bytes: int) -> dict[str, Part]:
    """Of all layers together, and of the head."""
    N, D, layers = load.tokens, config.dim, config.num_layers
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    # Queries and keys are rotated, keys and values written; attention reads the cache once.
    projections = D * (queries + 2 * keys) + queries * D
    chosen, count = max(1, config.num_experts_per_tok), max(1, config.num_experts)
    touched = count * (1 - (1 - chosen / count) ** N)  # experts that any token chooses, on average
    an_expert = 3 * D * config.ffn_dim
    router = D * config.num_experts
    attended = N if load.prefill else N * load.context  # tokens whose keys and values are read
    parts = {
        PROJECTIONS: Part(projections + N * (2 * D + 2 * queries + 2 * keys), 2 * N * projections),
        CACHE: Part(2 * attended * keys + N * (4 * queries + 4 * keys), 4 * N * load.context * queries),
        ROUTER: Part(router + N * (D + config.num_experts), 2 * N * router),
        EXPERTS: Part(
            touched * an_expert + N * chosen * (2 * D + 6 * config.ffn_dim), 2 * N * chosen * an_expert
        ),
        NORMS: Part(4 * N * D, 8 * N * D),
        RESIDUALS: Part(6 * N * D, 2 * N * D),
    }
    head = D * config.vocab_size
    found = {name: Part(layers * each.bytes, layers * each.operations) for name, each in parts.items()}
    found[HEAD] = Part(head + load.read * (D + config.vocab_size), 2 * load.read * head)
    return {name: Part(each.bytes * number_bytes, each.operations) for name, each in found.items()}

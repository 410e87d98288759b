"""The kind of rotary position embeddings that a config.json asks for, and how far it reaches."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from model.config_files.json_values import positive_integer, positive_number, short

Kind = Literal["default", "linear", "dynamic", "yarn"]
_KINDS = ("default", "linear", "dynamic", "yarn")
_LARGEST_CONTEXT = 1 << 31
_FEWEST_TURNS = 1e-3


@dataclass(frozen=True)
class Rope:
    """See `model.network.rope` for what each kind computes.

    original   positions that the model was trained for, before it was stretched
    factor     by how much it is stretched
    magnitude  of all cosines and sines
    turns      yarn: dimensions that turn more often than the first number of times within `original` keep
               their frequency, those that turn less often than the second are slowed by `factor`
    truncate   yarn: whether those borders are whole dimensions
    """

    theta: float
    kind: Kind = "default"
    original: int = 0
    factor: float = 1.0
    magnitude: float = 1.0
    turns: tuple[float, float] = (32.0, 1.0)
    truncate: bool = True

    @property
    def depends_on_length(self) -> bool:
        """Whether a token turns by other angles in a longer row."""
        return self.kind == "dynamic"

    @property
    def context(self) -> int:
        """Positions that the stretched model can be used with."""
        return min(int(self.original * self.factor), _LARGEST_CONTEXT)


def rope_of(data: dict[str, Any], max_positions: int, source: str) -> Rope:
    """As transformers 5 decides: `rope_scaling` replaces `rope_parameters`, which win over `rope_theta`."""
    key = "rope_scaling" if data.get("rope_scaling") else "rope_parameters"
    rope = data.get(key) or {}
    if not isinstance(rope, dict):
        raise ValueError(f"{source}: {key} must be an object, got {short(rope)}")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in _KINDS:
        raise ValueError(f"{source}: {key}: rope_type must be one of {', '.join(_KINDS)}, got {short(kind)}")
    theta = positive_number((rope if "rope_theta" in rope else data).get("rope_theta"), "rope_theta", source)
    if kind == "default":
        return Rope(theta, original=max_positions)

    named = f"{source}: {key}"
    whole = rope.get("partial_rotary_factor", data.get("partial_rotary_factor"))
    if whole not in (None, 1):
        raise ValueError(f"{named}: partial_rotary_factor must be 1, got {short(whole)}")
    original = max_positions
    if kind == "yarn":
        given = data.get("original_max_position_embeddings", rope.get("original_max_position_embeddings"))
        if given is not None:
            original = positive_integer(given, "original_max_position_embeddings", _LARGEST_CONTEXT, named)
    factor = rope.get("factor")
    if kind == "yarn" and factor is None and "factor" in rope:
        factor = max_positions / original
    factor = positive_number(factor, "factor", named)
    if factor < 1:
        raise ValueError(f"{named}: factor must be at least 1, got {factor}")
    if kind == "yarn":
        return _yarn(rope, theta, original, factor, named)
    return Rope(theta, kind, original, factor)


def _yarn(rope: dict[str, Any], theta: float, original: int, factor: float, source: str) -> Rope:
    given = {
        key: positive_number(rope[key], key, source)
        for key in ("attention_factor", "mscale", "mscale_all_dim", "beta_fast", "beta_slow")
        if rope.get(key) not in (None, 0)
    }
    truncate = rope.get("truncate", True)
    if not isinstance(truncate, bool):
        raise ValueError(f"{source}: truncate must be true or false, got {short(truncate)}")
    if theta == 1:
        raise ValueError(f"{source}: rope_theta must not be 1 with yarn")
    magnitude = given.get("attention_factor")
    if magnitude is None and "mscale" in given and "mscale_all_dim" in given:
        magnitude = _growth(factor, given["mscale"]) / _growth(factor, given["mscale_all_dim"])
    if magnitude is None:
        magnitude = _growth(factor, 1.0)
    turns = given.get("beta_fast", 32.0), given.get("beta_slow", 1.0)
    if min(turns) < _FEWEST_TURNS:
        raise ValueError(f"{source}: beta_fast and beta_slow must be at least {_FEWEST_TURNS}, got {turns}")
    return Rope(theta, "yarn", original, factor, magnitude, turns, truncate)


def _growth(factor: float, scale: float) -> float:
    return 0.1 * scale * math.log(factor) + 1.0

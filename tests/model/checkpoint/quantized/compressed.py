"""Weights as the compressed-tensors library compresses them, and what it makes of them again."""

from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams


def compressed(weight, kind, **args):
    """A weight [O, I] -> its parts, and the numbers that they are."""
    settings = QuantizationArgs(**args)
    scheme = QuantizationScheme(targets=["Linear"], weights=settings)
    outputs, inputs = weight.shape
    if args["strategy"] == "group":
        grouped = weight.view(outputs, inputs // args["group_size"], -1)
    elif args["strategy"] == "block":
        rows, columns = args["block_structure"]  # which divide the weight
        blocks = weight.view(outputs // rows, rows, inputs // columns, columns)
        grouped = blocks.transpose(1, 2).flatten(2)
    else:
        grouped = weight.view((1, 1, -1) if args["strategy"] == "tensor" else (outputs, 1, inputs))
    scales, zeros = calculate_qparams(grouped.amin(-1), grouped.amax(-1), settings)
    if args["strategy"] == "tensor":
        scales, zeros = scales.view(1), zeros.view(1)
    library = BaseCompressor.get_value_from_registry(kind)
    state = {"weight": weight, "weight_scale": scales, "weight_zero_point": zeros}
    parts = library.compress(state, scheme)
    return parts, library.decompress(dict(parts), scheme)["weight"].float()


def entry(kind, **args):
    """config.json's quantization_config."""
    groups = {"group_0": {"targets": ["Linear"], "weights": args}}
    return {
        "quant_method": "compressed-tensors",
        "format": kind,
        "config_groups": groups,
        "ignore": ["lm_head"],
    }

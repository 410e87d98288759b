"""Checkpoints that would run code, escape their folder, allocate without end, or don't hang together."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.hostile.case import TINY, Case, write_model

HUGE = 10**9


def config(message: str, **keys: Any) -> Case:
    return Case(lambda folder: write_model(folder, **keys) and None, refused=message)


def file(name: str, content: bytes | Callable[[], bytes] | None, message: str) -> Case:
    """The file `name` replaced; None: taken away."""

    def make(folder: Path) -> None:
        path = write_model(folder) / name
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content() if callable(content) else content)

    return Case(make, refused=message)


def weights(change: Callable[[dict[str, torch.Tensor]], None], message: str) -> Case:
    def make(folder: Path) -> None:
        path = write_model(folder) / "model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return Case(make, refused=message)


def header(content: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(content) if length is None else length) + content + data


def tensors(*extents: tuple[int, int]) -> bytes:
    """A header of float32 vectors at these offsets."""
    entries = {
        f"t{n}": {"dtype": "F32", "shape": [(end - begin) // 4], "data_offsets": [begin, end]}
        for n, (begin, end) in enumerate(extents)
    }
    return json.dumps(entries).encode()


def index(*names: str) -> bytes:
    return json.dumps({"weight_map": {f"t{n}": name for n, name in enumerate(names)}}).encode()


def _pickles_only(folder: Path) -> None:
    model = write_model(folder)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def _weights_are_a_folder(folder: Path) -> None:
    model = write_model(folder)
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").mkdir()
    (model / "x.safetensors").write_bytes(b"")


def _weights_twice(folder: Path) -> None:
    model = write_model(folder)
    shutil.copy(model / "model.safetensors", model / "model-00001-of-00001.safetensors")


def _index_beside_a_single_file(folder: Path) -> None:
    _weights_twice(folder)
    (folder / "model" / INDEX).write_bytes(index("model-00001-of-00001.safetensors"))


def classifier(message: str, head: torch.Tensor | None = None, **keys: Any) -> Case:
    """A job of task classify; `head`: the weights of its labels."""

    def make(folder: Path) -> dict[str, Any]:
        path = write_model(folder, architectures=["MixtralForSequenceClassification"], **keys) / WEIGHTS
        stored = load_file(path)
        save_file(stored if head is None else stored | {"score.weight": head}, path)
        return {"task": "classify"}

    return Case(make, refused=message)


def _set(name: str, value: torch.Tensor) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda tensors: tensors.update({name: value})


INDEX, WEIGHTS, CONFIG, TOKENIZER = (
    "model.safetensors.index.json", "model.safetensors", "config.json", "tokenizer.model",
)  # fmt: skip
NO_SAFETENSORS = "model.safetensors: not a safetensors file"
SIZES = "must be a positive integer up to"

CHECKPOINTS = {
    "pickles only": Case(
        _pickles_only, refused="pytorch_model.bin cannot be used: loading them could run code"
    ),
    "an index that climbs out": file(
        INDEX, index("../model.safetensors"), "is not a safetensors file of this"
    ),
    "an index with an absolute path": file(
        INDEX, index("/etc/x.safetensors"), "is not a safetensors file of this"
    ),
    "an index that names a pickle": file(INDEX, index("x.bin"), "is not a safetensors file of this folder"),
    "an index that names what is not there": file(
        INDEX, index("gone.safetensors"), "gone.safetensors: named in"
    ),
    "an index beside other weights": Case(
        _index_beside_a_single_file, refused="lies beside model.safetensors.index"
    ),
    "an adapter beside its base": file(
        "adapter_config.json", b"{}", "adapter_config.json beside the weights"
    ),
    "quantized weights": config("quantized with hqq", quantization_config={"quant_method": "hqq"}),
    "a rope that another replaces": config(
        "rope_scaling: rope_type must be one of .*, got 'llama3'",
        rope_scaling={"type": "llama3", "factor": 4.0},
    ),
    "an index of nonsense": file(INDEX, b'{"weight_map": [1]}', "not an index"),
    "a header of 2**63 bytes": file(WEIGHTS, header(b"{}", 1 << 63), NO_SAFETENSORS),
    "a header of 2**64 - 1 bytes": file(WEIGHTS, header(b"{}", (1 << 64) - 1), NO_SAFETENSORS),
    "a header that is not JSON": file(WEIGHTS, header(b"not json"), NO_SAFETENSORS),
    "a header nested 100,000 deep": file(WEIGHTS, header(b'{"a":' * 100_000), NO_SAFETENSORS),
    "offsets outside the file": file(WEIGHTS, header(tensors((0, 4096)), data=b"\0" * 8), NO_SAFETENSORS),
    "offsets that run backwards": file(WEIGHTS, header(tensors((8, 0)), data=b"\0" * 8), NO_SAFETENSORS),
    "tensors that overlap": file(WEIGHTS, header(tensors((0, 8), (4, 12)), data=b"\0" * 12), NO_SAFETENSORS),
    "an empty weights file": file(WEIGHTS, b"", NO_SAFETENSORS),
    "weights that are cut": file(WEIGHTS, lambda: (TINY / WEIGHTS).read_bytes()[:-1], NO_SAFETENSORS),
    "weights that are a folder": Case(_weights_are_a_folder, refused=NO_SAFETENSORS),
    "weights twice": Case(_weights_twice, refused="stands in two of the checkpoint's files"),
    "weights of int8": weights(
        lambda tensors: tensors.update({name: tensor.to(torch.int8) for name, tensor in tensors.items()}),
        "must be stored as F32, BF16, F16, got I8",
    ),
    "a weight of another shape": weights(
        _set("model.norm.weight", torch.zeros(7)), r"model.norm.weight: the configuration says shape \(128,\)"
    ),
    "a weight too many": weights(_set("model.extra.weight", torch.zeros(7)), "unexpected model.extra.weight"),
    "a classifier's head in a language model": weights(
        _set("score.weight", torch.zeros(2, 128)), "score.weight: this is the head of a sequence classifier"
    ),
    "a weight with and without its prefix": weights(
        _set("norm.weight", torch.zeros(128)), r"norm.weight: stands beside (model\.)?norm.weight"
    ),
    "a classifier without a head": classifier("missing score.weight"),
    "a classifier with too few labels": classifier(
        r"score.weight: the configuration says shape \(2, 128\)", torch.zeros(1, 128)
    ),
    "a trillion labels": classifier("num_labels must be a positive integer", num_labels=1 << 40),
    "a million labels of which two are there": classifier(
        r"score.weight: the configuration says shape \(1048576, 128\)",
        torch.zeros(2, 128),
        num_labels=1 << 20,
    ),
    "labels with a gap": classifier("id2label must name the labels", id2label={"0": "a", "7": "b"}),
    "labels that are numbers": classifier("id2label must name the labels", id2label={"0": 1}),
    "a problem of another world": classifier("problem_type must be one of", problem_type={"a": 1}),
    "a language model that should classify": Case(
        lambda folder: write_model(folder) and {"task": "classify"},
        refused="which is a language model; with it go",
    ),
    "a hidden size of a billion": config(f"hidden_size {SIZES}", hidden_size=HUGE),
    "a billion layers": config(f"num_hidden_layers {SIZES}", num_hidden_layers=HUGE),
    "a billion experts": config(f"num_local_experts {SIZES}", num_local_experts=HUGE),
    "a thousand layers of which four are there": config(
        "not what config.json describes: missing", num_hidden_layers=1024
    ),
    "heads of a billion": config(f"head_dim {SIZES}", head_dim=HUGE),
    "more heads than width": config(f"head_dim {SIZES}", num_attention_heads=256, num_key_value_heads=256),
    "a size that is negative": config(f"vocab_size {SIZES}", vocab_size=-1),
    "a size that is NaN": config(f"intermediate_size {SIZES}", intermediate_size=float("nan")),
    "a size that is true": config(f"num_hidden_layers {SIZES}", num_hidden_layers=True),
    "a size of 5,000 digits": file(
        CONFIG, b'{"vocab_size": ' + b"9" * 5000 + b"}", "config.json: not valid JSON"
    ),
    "an epsilon that is NaN": config("rms_norm_eps must be a positive number", rms_norm_eps=float("nan")),
    "a rope that is a list": config("rope_parameters must be an object", rope_parameters=[1]),
    "a dtype of another world": config("dtype must be one of float32", torch_dtype="int8"),
    "ids of an end that are words": config("eos_token_id must be an integer", eos_token_id=["</s>", None]),
    "config.json is a list": file(CONFIG, b"[]", "config.json: must hold a JSON object, got list"),
    "config.json is nested 100,000 deep": file(CONFIG, b'{"a":' * 100_000, "config.json: not valid JSON"),
    "config.json is not UTF-8": file(CONFIG, b'{"a": "\xff"}', "config.json: not valid JSON"),
    "config.json is empty": file(CONFIG, b"", "config.json: not valid JSON"),
    "config.json is gone": file(CONFIG, None, "no config.json"),
    "config.json is 65 MiB": file(CONFIG, lambda: b" " * (65 << 20), "must be at most 64 MiB large"),
    "tokenizer.model is garbage": file(
        TOKENIZER, b"\xff" * 1000, "tokenizer.model: not a sentencepiece model"
    ),
    "tokenizer.model is empty": file(TOKENIZER, b"", "tokenizer.model: is empty"),
    "tokenizer.model is 101 MiB": file(
        TOKENIZER, lambda: b"\0" * (101 << 20), "tokenizer.model: is larger than 100 MiB"
    ),
    "tokenizer.model is gone": file(TOKENIZER, None, "a checkpoint needs its tokenizer"),
    "pieces that are not UTF-8": file(
        TOKENIZER,
        lambda: (TINY / TOKENIZER).read_bytes().replace(b"ticket", b"tick\xff\xff"),
        "tokenizer.model: it has pieces that are not UTF-8",
    ),
    "more pieces than embeddings": config(r"gives ids up to 1023.*vocab_size is 1000|shape", vocab_size=1000),
    "tokenizer_config.json nested 100,000 deep": file(
        "tokenizer_config.json", b'{"a":' * 100_000, "tokenizer_config.json: not valid JSON"
    ),
    "added tokens at infinity": file(
        "added_tokens.json", b'{"<x>": Infinity}', "settings cannot be understood"
    ),
    "added tokens at 2**40": file(
        "added_tokens.json", b'{"<x>": 1099511627776}', "is far beyond the vocabulary"
    ),
}

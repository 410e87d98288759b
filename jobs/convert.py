"""`python -m jobs convert`: a checkpoint of any format that is read, in Hugging Face's as safetensors."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs.arguments import exit_codes, writing_output
from pipeline.storage.credentials import named

From = Annotated[
    str, typer.Argument(metavar="FROM", help="The checkpoint, as model.path names one.", show_default=False)
]
To = Annotated[Path, typer.Argument(metavar="TO", help="An empty folder, or a new one.", show_default=False)]
Pickles = Annotated[
    bool,
    typer.Option(
        "--pickles",
        help="Read pickled weights (pytorch_model*.bin, consolidated.*.pth, consolidated.*.pt) of a local "
        "folder. Only tensors are taken from them, and no code is run; still, give files that you trust.",
    ),
]


Quantization = Annotated[
    Literal["none", "nf4", "int4", "int8"],
    typer.Option(
        "--quantization",
        help="none, or quantize attention and experts: nf4 as bitsandbytes stores it, int4 or int8 as "
        "compressed-tensors do.",
    ),
]


def convert(source: From, target: To, pickles: Pickles = False, quantization: Quantization = "none") -> None:
    """Write a checkpoint in Hugging Face's format: config.json, model*.safetensors and the tokenizer's files.

    Weights keep their numbers and their type, unless they are to be quantized; those of a quantized upload
    become numbers. At the end all that was written is read back, and a forward pass over it is compared with
    one over FROM. What was stopped goes on with the same command.
    """
    with exit_codes():
        from pipeline.checkpoints.convert import convert as run
        from pipeline.checkpoints.location import locate
        from pipeline.errors import ConfigError

        if pickles and "://" in source:
            raise ConfigError(f"FROM: {named(source)}: pickled weights are read from a local folder")
        try:
            located = locate(source)
            folder = located.folder if pickles else located.whole()
        except ConfigError as error:
            raise ConfigError(f"FROM: {str(error).removeprefix('model.path: ')}") from None
        config = run(folder, target, _show, pickles, quantization=quantization)
        experts = f", {config.num_experts} experts" if config.num_experts else ""
        with writing_output():
            told = f"{config.num_layers} layers{experts}; its forward pass is that of {named(source)}"
            told += f" in {quantization}" if quantization != "none" else ""
            if quantization == "nf4" and config.num_experts:
                told += "; transformers 5 does not read experts in nf4, this project does"
            print(f"{named(str(target))}: {told}")


def _show(what: str, done: int, total: int) -> None:
    print(f"{done / total:4.0%}  {what}", file=sys.stderr, flush=True)

"""Section `model`: which checkpoint, in which numbers, on how many devices."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.section import Location, PositiveInt, Section, is_url


class ModelSection(Section):
    """The checkpoint, and how it is computed."""

    path: Location = Field(
        description="The checkpoint: a folder with `config.json`, `tokenizer.model` and `*.safetensors`, as "
        "on Hugging Face; an fsspec URL of one, or `hf://org/name[@revision]` in the Hugging Face hub.",
        examples=[
            "configs/demo/tiny-mixtral",
            "s3://models/Mixtral-8x7B-Instruct-v0.1",
            "hf://mistralai/Mixtral-8x7B-Instruct-v0.1",
        ],
    )
    fetch: Literal["cache", "stream"] = Field(
        default="cache",
        description="How the weights of a URL come to a machine. `cache`: once, as files, into the user's "
        "cache. `stream`: into memory alone, by ranges, each time a replica loads: for machines whose disks "
        "can't hold them.",
        examples=["stream"],
    )
    adapter: Location | None = Field(
        default=None,
        description="A LoRA adapter that is merged into the checkpoint as it is loaded: a folder with "
        "`adapter_config.json` and `adapter_model.safetensors`, as PEFT saves it. It is used in place, so "
        "all nodes must see it.",
        examples=["/models/support-tickets-lora"],
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="The number type to compute in. `auto`: the checkpoint's own on GPUs; on CPUs bfloat16 "
        "if it is the checkpoint's and they multiply it themselves (AMX, AVX-512 BF16), else float32. The "
        "first run of a job decides, and later ones keep to it.",
        examples=["bfloat16"],
    )
    quantization: Literal["none", "int8", "int4", "nf4"] = Field(
        default="none",
        description="`none`: weights as they are stored; quantized uploads stay in 4 or 8 bits, fp8 becomes "
        "numbers. `int4` and `nf4` quantize the weights of attention and experts to 4 bits as they are read, "
        "which takes little more than a quarter of bfloat16's memory; `int8` keeps them in 8 bits and is "
        "faster, for x86 CPUs only. "
        "`python -m jobs bench agreement` tells how often the answers are those of float32.",
        examples=["int4"],
    )
    tensor_parallel: PositiveInt = Field(
        default=1,
        description="Devices of one node over which each replica is spread. It must divide the model's "
        "attention heads and intermediate size.",
        examples=[8],
    )
    attention: Literal["auto", "sdpa", "flash"] = Field(
        default="auto",
        description="`flash`: FlashAttention and captured decode steps, on GPUs in 16 bits. `sdpa`: torch's "
        "own operators. `auto`: flash where it can be.",
        examples=["sdpa"],
    )

    @model_validator(mode="after")
    def _a_folder_is_read_in_place(self) -> "ModelSection":
        if self.fetch == "stream" and not is_url(self.path):
            raise ValueError("fetch stream has no effect: path is a folder, read in place; remove it")
        return self

    @model_validator(mode="after")
    def _int8_computes_in_float32(self) -> "ModelSection":
        if self.quantization == "int8" and self.dtype not in ("auto", "float32"):
            raise ValueError(f"quantization int8 needs dtype auto or float32, got {self.dtype}")
        return self

    @model_validator(mode="after")
    def _flash_computes_in_16_bits(self) -> "ModelSection":
        if self.attention == "flash" and self.dtype == "float32":
            raise ValueError("attention flash needs dtype auto, bfloat16 or float16, got float32")
        return self

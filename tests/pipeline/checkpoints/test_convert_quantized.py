"""Whole checkpoints that `convert` quantized, read by transformers, bitsandbytes and compressed-tensors."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)

from model.checkpoint.load import load_transformer
from model.scheduling.batch import left_pad
from pipeline.checkpoints.convert import convert
from tests.model.conftest import EXPERTS, SIZES

IDS = [1, 5, 17, 80, 3, 96, 0, 41]
WIDE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    models = {
        "mistral": MistralForCausalLM(MistralConfig(**SIZES | WIDE)),
        "mixtral": MixtralForCausalLM(MixtralConfig(**SIZES | WIDE | EXPERTS)),
    }
    folders = {name: tmp_path_factory.mktemp(name) for name in models}
    for name, model in models.items():
        model.save_pretrained(folders[name])
    return folders


def written(source: Path, target: Path, quantization: str) -> torch.Tensor:
    """Our logits of what convert wrote."""
    convert(source, target, lambda *_: None, quantization=quantization)
    return load_transformer(target, torch.float32)(*left_pad([IDS]))[0]


@torch.inference_mode()
def transformers_logits(folder: Path) -> torch.Tensor:
    model, loading = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    logits: torch.Tensor = model.eval()(torch.tensor([IDS])).logits[0]
    return logits


@pytest.mark.parametrize(
    ("kind", "quantization"),
    [
        ("mistral", "nf4"),
        ("mistral", "int4"),
        ("mixtral", "int4"),
        # of int8 all is the same but the number of bits
        pytest.param("mistral", "int8", marks=pytest.mark.slow),
        pytest.param("mixtral", "int8", marks=pytest.mark.slow),
    ],
)
def test_transformers_reads_it(
    kind: str, quantization: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    own = written(sources[kind], tmp_path / "to", quantization)
    theirs = transformers_logits(tmp_path / "to")
    assert torch.allclose(own, theirs, atol=1e-4)
    assert not torch.allclose(theirs, transformers_logits(sources[kind]), atol=1e-3), "it was not quantized"


def test_nf4_experts_one_by_one_are_read_here_and_not_by_transformers(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    """Transformers 5 fuses experts, and packed ones have other sizes: what docs/checkpoints.md says."""
    own = written(sources["mixtral"], tmp_path / "to", "nf4")
    assert own.isfinite().all()
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        transformers_logits(tmp_path / "to")

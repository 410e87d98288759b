import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from model.checkpoint.load import check_checkpoint, check_config, load_transformer, save_weights
from model.checkpoint.safetensors_files import weight_files
from model.scheduling.batch import left_pad
from tests.model.checkpoint.refusal import PROMPT, logits_of


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("mixtral", {"max_shard_size": "30KB"}),
        ("mixtral", {"save_original_format": False}),
        ("mixtral", {"save_original_format": False, "max_shard_size": "30KB"}),
        ("three-choices", {"save_original_format": False}),
        ("tied", {"max_shard_size": "30KB"}),
        ("dense", {"max_shard_size": "30KB"}),
    ],
    ids=str,
)
def test_every_layout_of_transformers(variant, options, oracle, tmp_path):
    oracle(variant).model.save_pretrained(tmp_path, **options)
    files = weight_files(tmp_path)
    assert (len(files) > 3) == ("max_shard_size" in options)
    fused = any("gate_up_proj" in name for file in files for name in load_file(file))
    assert fused == ("save_original_format" in options)
    torch.testing.assert_close(logits_of(tmp_path), oracle(variant).logits(PROMPT), atol=1e-4, rtol=0)
    assert check_checkpoint(tmp_path).vocab_size == 97


def test_shards_without_an_index(oracle, tmp_path):
    oracle("mixtral").model.save_pretrained(tmp_path, max_shard_size="30KB")
    (tmp_path / "model.safetensors.index.json").unlink()
    torch.testing.assert_close(logits_of(tmp_path), oracle("mixtral").logits(PROMPT), atol=1e-4, rtol=0)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_half_precision_on_disk_is_computed_in_fp32(stored, folder, spoil):
    def halve(tensors):
        tensors.update({name: tensor.to(stored) for name, tensor in tensors.items()})

    spoil(halve)
    model = load_transformer(folder, torch.float32)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    expected = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(
        torch.tensor([PROMPT])
    ).logits[0]
    torch.testing.assert_close(model(*left_pad([PROMPT]))[0], expected.detach(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", ["mixtral", "tied", "dense", "wide-heads"])
def test_saved_weights_are_read_by_transformers_and_by_us(variant, checkpoint, oracle, tmp_path):
    model = load_transformer(checkpoint(variant), torch.float32)
    shutil.copy(checkpoint(variant) / "config.json", tmp_path)
    save_weights(model, tmp_path / "model.safetensors", torch.float32)
    ours, theirs = (load_file(f / "model.safetensors") for f in (tmp_path, checkpoint(variant)))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    again, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert torch.equal(again(torch.tensor([PROMPT])).logits[0], oracle(variant).logits(PROMPT))
    assert torch.equal(logits_of(tmp_path), model(*left_pad([PROMPT]))[0])


def test_saving_in_another_precision(checkpoint, tmp_path):
    save_weights(load_transformer(checkpoint("mixtral"), torch.float32), tmp_path / "w", torch.bfloat16)
    theirs = load_file(checkpoint("mixtral") / "model.safetensors")
    ours = load_file(tmp_path / "w")
    assert all(torch.equal(ours[name], tensor.bfloat16()) for name, tensor in theirs.items())


def test_a_config_is_checked_without_weights(folder):
    stored = check_checkpoint(folder, 2)
    (folder / "model.safetensors").unlink()
    assert check_config(folder, 2) == stored
    with pytest.raises(ValueError, match="attention heads"):
        check_config(folder, 3)

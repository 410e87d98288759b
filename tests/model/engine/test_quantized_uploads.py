"""Quantized uploads together with all else: ranks, adapters, and each of transformers' heads of labels."""

import json

import pytest
import torch
from bitsandbytes import functional
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BitsAndBytesConfig

from model.checkpoint.load import load_transformer
from model.engine import Engine
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import left_pad
from tests.model.checkpoint.lora_adapter import write_old
from tests.model.checkpoint.quantized import packed_weights
from tests.model.checkpoint.quantized.quantized_upload import write_plain, write_upload
from tests.model.checkpoint.quantized.test_bitsandbytes import FOUR, four_bits
from tests.model.checkpoint.refusal import PROMPT, logits_of

AWQ = {"quant_method": "awq", "bits": 4, "group_size": 16, "version": "gemm"}


@pytest.fixture(scope="module", params=[(packed_weights.awq, AWQ), (four_bits, FOUR)], ids=["AWQ", "nf4"])
def upload(request, checkpoint, tmp_path_factory):
    """A folder, and one with the same weights as numbers."""
    folder = tmp_path_factory.mktemp("upload")
    quantized, numbers = write_upload(*request.param, checkpoint("mixtral"), folder / "quantized")
    return quantized, write_plain(numbers, checkpoint("mixtral"), folder / "plain")


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])  # it starts a process
def test_ranks_answer_as_transformers_with_the_dequantized_weights(ranks, upload):
    quantized, plain = upload
    ids = torch.tensor([PROMPT])
    oracle = AutoModelForCausalLM.from_pretrained(plain)
    theirs = oracle.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
    engine = Engine.load(quantized, "float32", threads=1, tensor_parallel=ranks, device="cpu")
    [answer] = engine.generate([PROMPT], SamplingParams(max_new_tokens=12))
    engine.close()
    assert answer.token_ids == theirs[0, len(PROMPT) :].tolist()


def test_an_adapter_is_merged_into_the_dequantized_weights_as_peft_does(upload, tmp_path):
    quantized, plain = upload
    adapter = write_old(tmp_path / "adapter")
    merged = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(plain), adapter
    ).merge_and_unload()
    with torch.inference_mode():
        expected = merged(torch.tensor([PROMPT])).logits[0]
    for quantization in (None, "none"):
        ours = load_transformer(quantized, torch.float32, adapter=adapter, quantization=quantization)
        torch.testing.assert_close(ours(*left_pad([PROMPT]))[0], expected, atol=1e-4, rtol=0)


def test_a_classifier(headed, tmp_path):
    """Its head is in no bits but its own."""
    folder = headed("dense", "classes").folder
    quantized, numbers = write_upload(four_bits, FOUR, folder, tmp_path / "quantized")
    oracle = AutoModelForSequenceClassification.from_pretrained(
        write_plain(numbers, folder, tmp_path / "plain")
    )
    oracle.config.pad_token_id = 0
    with torch.inference_mode():
        expected = oracle(torch.tensor([PROMPT])).logits[0]
    model = load_transformer(quantized, torch.float32, quantization="none")
    torch.testing.assert_close(model(*left_pad([PROMPT]))[0][-1], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", ["mixtral", "dense"])
def test_an_upload_in_8_bits_that_transformers_saved(variant, checkpoint, tmp_path):
    """Beside bitsandbytes' numbers of its weights: LLM.int8 rounds rows as well, which is not done here."""
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint(variant),
        quantization_config=BitsAndBytesConfig(load_in_8bit=True),
        dtype=torch.float32,
        device_map="cpu",
    )
    quantized = tmp_path / "quantized"
    model.save_pretrained(quantized)
    assert json.loads((quantized / "config.json").read_text())["quantization_config"]["load_in_8bit"]
    numbers = load_file(quantized / "model.safetensors")
    for name in [name for name in numbers if name.endswith(".SCB")]:
        weight = name.replace("SCB", "weight")
        numbers[weight] = functional.int8_vectorwise_dequant(numbers[weight], numbers.pop(name))
        numbers.pop(name.replace("SCB", "weight_format"))
    oracle = AutoModelForCausalLM.from_pretrained(
        write_plain(numbers, checkpoint(variant), tmp_path / "plain")
    )
    with torch.inference_mode():
        expected = oracle(torch.tensor([PROMPT])).logits[0]
    torch.testing.assert_close(logits_of(quantized), expected, atol=1e-4, rtol=0)

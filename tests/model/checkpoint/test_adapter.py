"""Adapters merged at load, beside PEFT's own merged weights."""

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM

from model.checkpoint.load import check_checkpoint, load_transformer
from model.engine import Engine
from model.network.tensor_parallel import TensorParallel
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import left_pad
from tests.model.checkpoint.lora_adapter import write_old
from tests.model.checkpoint.refusal import PROMPT

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
FUSED = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj", "mlp.gate.weight"]
ADAPTERS = {
    "attention": ("mixtral", {"target_modules": ATTENTION}),
    "stabilised": ("mixtral", {"target_modules": ATTENTION, "use_rslora": True}),
    "patterns": (
        "mixtral",
        {
            "target_modules": ATTENTION,
            "rank_pattern": {"k_proj": 2, r"layers\.1\.self_attn\.[qv]_proj": 3},
            "alpha_pattern": {"model.layers.2.self_attn.o_proj": 5, "q_proj": 1},
        },
    ),
    "fused experts": ("mixtral", {"target_modules": ATTENTION, "target_parameters": FUSED}),
    "experts alone": ("four-experts", {"target_modules": [], "target_parameters": FUSED[1:2]}),
    "fused experts with patterns": (
        "mixtral",
        {
            "target_modules": [],
            "target_parameters": FUSED,
            "rank_pattern": {r".*\.gate_up_proj": 6, "mlp.gate.weight": 2},
            "alpha_pattern": {r".*\.down_proj": 3},
        },
    ),
    "embeddings and head": ("mixtral", {"target_modules": ["embed_tokens", "lm_head", "q_proj"]}),
    "whole modules": (
        "mixtral",
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
    ),
    "whole norms": ("dense", {"target_modules": ["q_proj"], "modules_to_save": ["input_layernorm", "norm"]}),
    "dense": ("dense", {"target_modules": [*ATTENTION, "gate_proj", "up_proj", "down_proj"]}),
}


def draw(model):
    """What training would give: no part of an adapter is zero."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2 + parameter.data * 0.5


def merged_by_peft(model, folder):
    merged = model.merge_and_unload()
    merged.save_pretrained(folder)
    return merged


@pytest.fixture
def case(checkpoint, tmp_path):
    """An adapter's name -> the base's folder, the adapter's, that of PEFT's merged model, and this model."""

    def make(name):
        variant, config = ADAPTERS[name]
        base = AutoModelForCausalLM.from_pretrained(checkpoint(variant))
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, **config))
        draw(model)
        model.save_pretrained(tmp_path / "adapter")
        merged = merged_by_peft(model, tmp_path / "merged")
        return checkpoint(variant), tmp_path / "adapter", tmp_path / "merged", merged

    return make


def same(ours, theirs):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(
            ours[name], tensor, atol=1e-6, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("name", ADAPTERS)
def test_merged_weights_and_logits_are_peft_s(name, case):
    base, adapter, merged, model = case(name)
    ours = load_transformer(base, torch.float32, adapter=adapter)
    same(ours, load_transformer(merged, torch.float32))
    theirs = model(torch.tensor([PROMPT])).logits[0].detach()
    torch.testing.assert_close(ours(*left_pad([PROMPT]))[0], theirs, atol=2e-4, rtol=0)
    plain = load_transformer(base, torch.float32)(*left_pad([PROMPT]))[0]
    assert (plain - theirs).abs().max() > 0.01, "the adapter changes something"
    assert check_checkpoint(base, adapter=adapter) == check_checkpoint(base)


@pytest.mark.parametrize("name", ["fused experts", "embeddings and head", "dense"])
def test_each_rank_merges_its_slice(name, case):
    base, adapter, merged, _ = case(name)
    for rank in range(2):
        tp = TensorParallel(rank, 2)
        ours = load_transformer(base, torch.float32, tp=tp, adapter=adapter)
        same(ours, load_transformer(merged, torch.float32, tp=tp))


@pytest.mark.parametrize(("variant", "has_head"), [("mixtral", False), ("dense", True)])
def test_adapters_of_base_models(variant, has_head, checkpoint, headed, tmp_path):
    """As embedding models are trained: names lack the prefix `model.`, in weights and in patterns."""
    folder = checkpoint(variant) if has_head else headed(variant, "base").folder
    targets = [*ATTENTION, "embed_tokens"] + (["gate_proj", "down_proj"] if has_head else [])
    settings = {"target_modules": targets, "modules_to_save": ["norm"], "use_rslora": True}
    settings["rank_pattern"] = {r"^layers\.1\.self_attn\.k_proj": 3, "model.layers.0.self_attn.q_proj": 2}
    if not has_head:
        experts = {r"layers\.2\.mlp\.experts\.down_proj": 3}
        settings |= {"target_parameters": FUSED, "alpha_pattern": experts}
    config = LoraConfig(task_type="FEATURE_EXTRACTION", r=4, lora_alpha=6, **settings)
    model = get_peft_model(AutoModel.from_pretrained(folder), config)
    draw(model)
    model.save_pretrained(tmp_path / "adapter")
    stored = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert f"{PREFIX}layers.0.self_attn.q_proj.lora_A.weight" in stored
    merged_by_peft(model, tmp_path / "merged")
    ours = load_transformer(folder, torch.float32, adapter=tmp_path / "adapter")
    if has_head:
        ours.head = torch.nn.Module()
    same(ours, load_transformer(tmp_path / "merged", torch.float32))


@pytest.mark.parametrize(
    ("head", "task"), [("classes", "SEQ_CLS"), ("tokens", "TOKEN_CLS"), ("spans", "QUESTION_ANS")]
)
def test_adapters_of_heads(head, task, headed, tmp_path):
    """PEFT saves the head as a whole, with its bias."""
    oracle = headed("dense", head)
    config = LoraConfig(task_type=task, r=4, lora_alpha=6, target_modules=["q_proj", "down_proj"])
    model = get_peft_model(type(oracle.model).from_pretrained(oracle.folder), config)
    draw(model)
    model.save_pretrained(tmp_path / "adapter")
    merged_by_peft(model, tmp_path / "merged")
    ours = load_transformer(oracle.folder, torch.float32, adapter=tmp_path / "adapter")
    same(ours, load_transformer(tmp_path / "merged", torch.float32))


def test_experts_one_by_one_as_older_adapters_have_them(checkpoint, tmp_path):
    adapter = write_old(tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(checkpoint("mixtral"))
    merged_by_peft(PeftModel.from_pretrained(base, adapter), tmp_path / "merged")
    ours = load_transformer(checkpoint("mixtral"), torch.float32, adapter=adapter)
    same(ours, load_transformer(tmp_path / "merged", torch.float32))


def test_the_base_may_be_fused_and_the_adapter_not(oracle, checkpoint, tmp_path):
    adapter = write_old(tmp_path / "adapter")
    oracle("mixtral").model.save_pretrained(tmp_path / "fused", save_original_format=False)
    ours = load_transformer(tmp_path / "fused", torch.float32, adapter=adapter)
    same(ours, load_transformer(checkpoint("mixtral"), torch.float32, adapter=adapter))


def test_half_precision_is_rounded_once(checkpoint, tmp_path):
    """PEFT rounds the product and the sum."""
    adapter = write_old(tmp_path / "adapter")
    whole = load_transformer(checkpoint("mixtral"), torch.float32, adapter=adapter).state_dict()
    halved = load_transformer(checkpoint("mixtral"), torch.bfloat16, adapter=adapter).state_dict()
    assert all(torch.equal(halved[name], tensor.bfloat16()) for name, tensor in whole.items() if "w2" in name)


def test_an_engine_with_ranks_answers_as_peft_s_model(case):
    base, adapter, _, model = case("fused experts")
    ids = torch.tensor([PROMPT])
    theirs = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
    for size in (1, 2):
        engine = Engine.load(base, threads=1, tensor_parallel=size, adapter=adapter)
        [answer] = engine.generate([PROMPT], SamplingParams(max_new_tokens=8))
        assert answer.token_ids == theirs[0, len(PROMPT) :].tolist()
        engine.close()


PREFIX = "base_model.model."
Q = f"{PREFIX}model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"{Q}.lora_B.weight"), r"q_proj\.lora_A\.weight: its pair is missing"),
        (
            lambda t: t.update({f"{PREFIX}vision.lora_A.weight": torch.ones(4, 2),
                                f"{PREFIX}vision.lora_B.weight": torch.ones(2, 4)}),
            r"vision\.lora_A\.weight and 1 more: the model has no weight that this is for",
        ),
        (
            lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(4, 33)}),
            r"is for a weight of shape \(32, 33\), the model's has \(32, 32\)",
        ),
        (lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(5, 32)}), "rank 4, its matrices have 5 rows"),
        (lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(4)}), r"must be a matrix, got shape \[4\]"),
        (
            lambda t: t.update({f"{Q}.lora_magnitude_vector.weight": torch.ones(4)}),
            r"lora_magnitude_vector\.weight: is no tensor of a LoRA adapter that can be merged",
        ),
        (lambda t: t.update({f"{Q}.bias": torch.ones(4)}), r"q_proj\.bias: is no tensor of a LoRA adapter"),
        (lambda t: t.update({"lm_head.weight": torch.ones(97, 32)}), r"lm_head\.weight: is no tensor of"),
        (
            lambda t: t.update({f"{PREFIX}lm_head.weight": torch.ones(99, 32)}),
            r"lm_head\.weight: is for a weight of shape \(99, 32\), the model's has \(97, 32\)",
        ),
        (
            lambda t: t.update({f"{PREFIX}model.layers.0.mlp.experts.lora_A.weight": torch.ones(32, 32),
                                f"{PREFIX}model.layers.0.mlp.experts.lora_B.weight": torch.ones(7, 32)}),
            "no weight of the experts has 7 outputs and 32 inputs",
        ),
        (lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(4, 32).long()}), "must be stored as F32"),
    ],
    ids=range(11),
)  # fmt: skip
def test_tensors_that_fit_nothing_are_refused_before_weights_are_read(change, message, checkpoint, tmp_path):
    adapter = write_old(tmp_path / "adapter")
    tensors = load_file(adapter / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, adapter / "adapter_model.safetensors")
    for check in (check_checkpoint, lambda f, adapter: load_transformer(f, torch.float32, adapter=adapter)):
        with pytest.raises(ValueError, match=rf"adapter_model\.safetensors: .*{message}"):
            check(checkpoint("mixtral"), adapter=adapter)


def test_an_adapter_of_a_tied_head_is_refused(checkpoint, tmp_path):
    adapter = write_old(tmp_path / "adapter", target_modules=["lm_head"])
    save_file({f"{PREFIX}lm_head.weight": torch.ones(97, 32)}, adapter / "adapter_model.safetensors")
    with pytest.raises(ValueError, match=r"lm_head\.weight: with tie_word_embeddings one matrix is"):
        check_checkpoint(checkpoint("tied"), adapter=adapter)


def test_pickled_and_damaged_adapters_are_refused(checkpoint, tmp_path):
    adapter = write_old(tmp_path / "adapter")
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="not a safetensors file"):
        check_checkpoint(checkpoint("mixtral"), adapter=adapter)
    file.rename(adapter / "adapter_model.bin")
    with pytest.raises(
        FileNotFoundError, match=r"no adapter_model\.safetensors \(adapter_model\.bin cannot be"
    ):
        check_checkpoint(checkpoint("mixtral"), adapter=adapter)

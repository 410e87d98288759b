"""Which head a configuration gets; test_heads_equal_transformers.py compares what they compute."""

import torch
from torch import nn

from model.config import ModelConfig
from model.network.heads import LabelHead, head_of
from model.network.tensor_parallel import TensorParallel, VocabParallelEmbedding

DATA = {
    "model_type": "mistral", "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 1, "num_attention_heads": 4, "max_position_embeddings": 96, "rms_norm_eps": 1e-5,
    "rope_theta": 1e4, "sliding_window": None,
}  # fmt: skip


def made(tied=False, **data):
    config = ModelConfig.from_dict(DATA | {"tie_word_embeddings": tied} | data)
    embedding = VocabParallelEmbedding(97, 32, TensorParallel())
    return head_of(config, TensorParallel(), embedding), embedding


def test_by_the_class_that_config_json_names():
    head, embedding = made()
    assert isinstance(head, VocabParallelEmbedding)
    assert head is not embedding
    head, embedding = made(tied=True)
    assert head is embedding
    assert isinstance(made(architectures=["MixtralModel"], tied=True)[0], nn.Identity)
    head, _ = made(architectures=["MixtralForSequenceClassification"], num_labels=3, tied=True)
    assert isinstance(head, LabelHead)
    assert (head.weight.shape, head.bias) == ((3, 32), None)
    head, _ = made(architectures=["MistralForQuestionAnswering"])
    assert (head.weight.shape, head.bias.shape) == ((2, 32), (2,))


def test_labels_are_computed_in_float32_whatever_the_model_computes_in():
    head, x = LabelHead(2, 32, has_bias=True), torch.randn(5, 32).bfloat16()
    with torch.no_grad():
        head.weight.normal_()
        head.bias.normal_()
    assert head(x).dtype is torch.float32
    torch.testing.assert_close(head(x), x.float() @ head.weight.T + head.bias)

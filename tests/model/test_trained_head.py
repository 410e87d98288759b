"""Which head config.json names, and the labels of a classifier."""

import pytest

from model.trained_head import UNSTATED, HeadKind, TrainedHead, kind_of


@pytest.mark.parametrize(
    ("architectures", "kind"),
    [
        (["MixtralForCausalLM"], HeadKind.LANGUAGE),
        (["MistralForSequenceClassification", "MistralForCausalLM"], HeadKind.SEQUENCE),
        ("MistralForTokenClassification", HeadKind.TOKEN),
        (["MixtralForQuestionAnswering"], HeadKind.SPAN),
        (["MistralModel"], HeadKind.NONE),
        (["LlamaModel"], None),
        (["MistralRewardModel"], None),
        ([], None),
        (None, None),
        ([7], None),
    ],
)
def test_by_transformers_classes(architectures, kind):
    assert kind_of(architectures) is kind
    head = TrainedHead.from_dict({"architectures": architectures}, "c")
    assert (head.kind, head.stated) == (kind or HeadKind.LANGUAGE, kind is not None)


def of(**data):
    return TrainedHead.from_dict(
        {"architectures": ["MixtralForSequenceClassification"], **data}, "config.json"
    )


def test_labels_and_what_they_are_to_each_other():
    assert of().labels == ("LABEL_0", "LABEL_1"), "transformers writes none where there are these two"
    assert of(num_labels=1).labels == ("LABEL_0",)
    assert of(id2label={"1": "b", "0": "a"}).labels == ("a", "b")
    assert [of(problem_type=kind).problem for kind in (None, "single_label_classification")] == ["one"] * 2
    assert of(problem_type="multi_label_classification").problem == "any"
    assert of(problem_type="regression").problem == "values"
    assert TrainedHead.from_dict({}, "c") == UNSTATED


def test_outputs_and_biases():
    assert (of(num_labels=3).outputs, of(num_labels=3).has_bias) == (3, False)
    tokens = {"architectures": ["MistralForTokenClassification"]}
    assert TrainedHead.from_dict(tokens, "c").has_bias
    assert not TrainedHead.from_dict(tokens | {"token_classification_bias": False}, "c").has_bias
    spans = TrainedHead.from_dict({"architectures": ["MistralForQuestionAnswering"]}, "c")
    assert (spans.outputs, spans.has_bias) == (2, True)
    assert (UNSTATED.outputs, UNSTATED.has_bias) == (0, False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"id2label": {"0": "a", "2": "b"}}, "config.json: id2label must name the labels of the ids 0, 1, 2"),
        ({"id2label": {}}, "id2label must name"),
        ({"id2label": ["a", "b"]}, "id2label must name"),
        ({"id2label": {"0": 1}}, "id2label must name .* by texts"),
        ({"num_labels": 0}, "num_labels must be a positive integer, got 0"),
        ({"num_labels": True}, "num_labels must be a positive integer, got True"),
        ({"num_labels": 1 << 40}, "num_labels must be a positive integer"),
        (
            {"problem_type": "ranking"},
            "problem_type must be one of single_label.*, got ranking",
        ),
        ({"problem_type": ["x"]}, "problem_type must be one of"),
    ],
)
def test_a_classifier_must_say_which_labels_it_has_and_a_language_model_need_not(data, message):
    with pytest.raises(ValueError, match=message):
        of(**data)
    for architectures in (["MixtralForCausalLM"], None):
        assert TrainedHead.from_dict({"architectures": architectures, **data}, "c").labels == UNSTATED.labels

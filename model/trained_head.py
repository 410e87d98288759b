"""What a checkpoint computes from its last hidden states: the head that it was trained with.

`architectures` in config.json names it by transformers' class. Where that is missing, the weights tell it:
see `model.checkpoint.head_weights`.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal


class HeadKind(StrEnum):
    LANGUAGE = "language"  # the next token: lm_head, or the embeddings where they are tied
    SEQUENCE = "sequence"  # labels or values of a whole prompt, from its last token: score
    TOKEN = "token"  # labels of every token: score
    SPAN = "span"  # where an answer begins and where it ends: qa_outputs
    NONE = "none"  # the hidden states themselves

    @property
    def in_words(self) -> str:
        return _IN_WORDS[self]


_IN_WORDS = {
    HeadKind.LANGUAGE: "a language model",
    HeadKind.SEQUENCE: "a sequence classifier or reward model",
    HeadKind.TOKEN: "a token classifier",
    HeadKind.SPAN: "a question answering model",
    HeadKind.NONE: "a model without a head",
}
_CLASSES = {
    "ForCausalLM": HeadKind.LANGUAGE,
    "ForSequenceClassification": HeadKind.SEQUENCE,
    "ForTokenClassification": HeadKind.TOKEN,
    "ForQuestionAnswering": HeadKind.SPAN,
    "Model": HeadKind.NONE,
}
_CLASS = re.compile(rf"(?:Mixtral|Mistral)({'|'.join(_CLASSES)})")
_MOST_LABELS = 1 << 20
# What several labels are to each other: one of them is right, any number may be, or they are numbers.
Problem = Literal["one", "any", "values"]
_PROBLEMS: dict[Any, Problem] = {
    None: "one",
    "single_label_classification": "one",
    "multi_label_classification": "any",
    "regression": "values",
}


@dataclass(frozen=True)
class TrainedHead:
    kind: HeadKind = HeadKind.LANGUAGE
    stated: bool = False  # config.json names it; else it is known once the weights are
    # Names of a classifier's labels, by id. These two are transformers' where config.json has none.
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")
    problem: Problem = "one"
    bias: bool = True  # of a token classifier's labels

    @property
    def outputs(self) -> int:
        """Numbers that the head computes of a hidden state; 0 without a head of labels or spans."""
        if self.kind in (HeadKind.SEQUENCE, HeadKind.TOKEN):
            return len(self.labels)
        return 2 if self.kind is HeadKind.SPAN else 0

    @property
    def has_bias(self) -> bool:
        return self.kind is HeadKind.SPAN or (self.kind is HeadKind.TOKEN and self.bias)

    @classmethod
    def from_dict(cls, data: dict[str, Any], source: str) -> "TrainedHead":
        """From what config.json holds; ValueError if it does not say which labels a classifier has."""
        kind = kind_of(data.get("architectures"))
        head = cls(kind or HeadKind.LANGUAGE, kind is not None)
        if kind in (HeadKind.SEQUENCE, HeadKind.TOKEN):
            return head._with_labels(data, source)
        if kind is None:
            with suppress(ValueError):  # they are needed if the weights turn out to be a classifier's
                return head._with_labels(data, source)
        return head

    def _with_labels(self, data: dict[str, Any], source: str) -> "TrainedHead":
        problem = data.get("problem_type")
        if not isinstance(problem, str | None) or problem not in _PROBLEMS:
            known = ", ".join(str(name) for name in _PROBLEMS if name)
            raise ValueError(f"{source}: problem_type must be one of {known}, got {str(problem)[:60]}")
        return replace(
            self,
            labels=_labels(data, source),
            problem=_PROBLEMS[problem],
            bias=data.get("token_classification_bias") is not False,
        )


UNSTATED = TrainedHead()


def kind_of(architectures: Any) -> HeadKind | None:
    """The head of the class that config.json's `architectures` names first; None: no such class."""
    name = architectures[0] if isinstance(architectures, list) and architectures else architectures
    found = _CLASS.fullmatch(name) if isinstance(name, str) else None
    return _CLASSES[found[1]] if found else None


def _labels(data: dict[str, Any], source: str) -> tuple[str, ...]:
    """In the order of their ids, 0 first."""
    names = data.get("id2label")
    if names is None:
        count = data.get("num_labels", 2)
        if type(count) is not int or not 1 <= count <= _MOST_LABELS:
            raise ValueError(f"{source}: num_labels must be a positive integer, got {str(count)[:60]}")
        return tuple(f"LABEL_{number}" for number in range(count))
    ids = [str(number) for number in range(len(names))] if isinstance(names, dict) else []
    if not ids or names.keys() != {*ids} or not all(isinstance(name, str) for name in names.values()):
        raise ValueError(f"{source}: id2label must name the labels of the ids 0, 1, 2 and so on, by texts")
    return tuple(names[number] for number in ids)

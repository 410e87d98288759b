"""What a checkpoint of a published chat format is taught: the tokens of a question and its answer.

They are sentencepiece's ids of the text that transformers renders, between its control and added tokens, up
to the token that ends the answer; in Mistral's own formats they are mistral-common's. Nothing of the
project's own says how a format is tokenized. The vocabulary is the demo's.
"""

import re
from dataclasses import dataclass, replace
from functools import cache
from itertools import takewhile
from pathlib import Path

from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from configs.demo.recipe.write_rows import DEMO
from tests.pipeline.text.published_formats import MISTRALS, PublishedFormat

SYSTEM, NEXT = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "nnextt"}

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Lesson:
    token_ids: list[int]  # the answer and its end included
    answer_tokens: int  # how many of them follow from the answer
    text: str  # the answer, with what the format writes between it and its end
    follows: bool  # the prompt's own tokens begin it, so that the model has seen an answer follow them


class FormatLessons:
    """`form` has the ids of its added tokens behind the demo's vocabulary; that is written to `folder`."""

    def __init__(self, published: PublishedFormat, folder: Path) -> None:
        self.version = MISTRALS.get(published.name)
        folder.mkdir()
        vocabulary = folder / f"tokenizer.model.{self.version or 'v1'}"
        vocabulary.write_bytes(_with_controls_of(published.vocabulary))
        self._pieces = SentencePieceProcessor(model_file=str(vocabulary))
        size = self._pieces.vocab_size()
        added = [(size + n, text, special) for n, (_, text, special) in enumerate(published.added_tokens)]
        self.vocab_size = size + len(added)
        self.form = replace(published, vocabulary=vocabulary, added_tokens=tuple(added))
        controls = {self._pieces.id_to_piece(i): i for i in range(size) if self._pieces.is_control(i)}
        self.tokens = controls | {text: token_id for token_id, text, _ in added}
        names = "|".join(re.escape(name) for name in sorted(self.tokens, key=len, reverse=True))
        self._names = re.compile(f"({names})")

    def conversation(self, question: str) -> Messages:
        """With a system prompt if the format wants one."""
        messages = [{"role": "user", "content": question}]
        return messages if self.version or self.form.render(messages) else [SYSTEM, *messages]

    def lesson(self, question: str, answer: str) -> Lesson:
        asked = self.conversation(question)
        answered = [*asked, {"role": "assistant", "content": answer}]
        if self.version:
            vocabulary = str(self.form.vocabulary)
            prompt = _instruct(vocabulary, asked, ValidationMode.test)
            whole = _instruct(vocabulary, answered, ValidationMode.finetuning)
            return Lesson(whole, len(whole) - len(prompt), answer, follows=True)
        text = self.form.render(asked)
        assert text is not None
        prompt = self._encode(text)
        before, behind, end = self._around(answered, answer)
        whole = [*self._encode(before + answer + behind), self.tokens[end]]
        shared = len([*takewhile(lambda pair: pair[0] == pair[1], zip(prompt, whole, strict=False))])
        return Lesson(whole, len(whole) - shared, answer + behind, follows=shared == len(prompt))

    def _around(self, answered: Messages, answer: str) -> tuple[str, str, str]:
        """The text before and behind an answer, and the token that ends it: the tokenizer's own if none."""
        before = ""
        for conversation in (answered, [*answered, NEXT]):
            text = self.form.render(conversation, generation_prompt=False)
            assert text is not None
            before, _, behind = text.partition(NEXT["content"])[0].rpartition(answer)
            first = self._names.search(behind)
            if first is not None:
                return before, behind[: first.start()], first[1]
        return before, "", self.form.eos_token

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for part in self._names.split(text):
            ids += [self.tokens[part]] if part in self.tokens else self._pieces.encode(part)
        return ids


def _instruct(vocabulary: str, messages: Messages, mode: ValidationMode) -> list[int]:
    """`mode` says whether the last message may be the user's, or must be the assistant's."""
    request = ChatCompletionRequest.model_validate({"messages": messages})
    ids: list[int] = _mistral_tokenizer(vocabulary, mode).encode_chat_completion(request).tokens
    return ids


@cache
def _mistral_tokenizer(vocabulary: str, mode: ValidationMode) -> MistralTokenizer:
    return MistralTokenizer.from_file(vocabulary, mode=mode)


def _with_controls_of(vocabulary: Path) -> bytes:
    """The demo's vocabulary, with the control tokens of another one behind its pieces."""
    model, other = ModelProto(), ModelProto()
    model.ParseFromString((DEMO / "tiny-mixtral" / "tokenizer.model").read_bytes())
    other.ParseFromString(vocabulary.read_bytes())
    known = {piece.piece for piece in model.pieces}
    for piece in other.pieces:
        is_control = piece.type == ModelProto.SentencePiece.CONTROL
        if is_control and piece.piece not in known and not piece.piece.startswith("[control_"):
            model.pieces.append(piece)
    serialized: bytes = model.SerializeToString()
    return serialized

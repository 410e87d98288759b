"""Chat formats of published checkpoints, with transformers as the oracle of what they render."""

import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import mistral_common
from sentencepiece import SentencePieceProcessor
from transformers.utils.chat_template_utils import render_jinja_template

from pipeline.text.chat_template import ChatTemplate
from pipeline.text.tokenization import Tokenizer

FOLDER = Path(__file__).parent / "chat_formats"
DATA = Path(mistral_common.__file__).parent / "data"
VOCABULARIES = {
    "v1": DATA / "tokenizer.model.v1",
    "v3": DATA / "mistral_instruct_tokenizer_240323.model.v3",
    "v7": DATA / "mistral_instruct_tokenizer_241114.model.v7",
    "tekken": DATA / "mistral_instruct_tokenizer_241114.model.v7",  # it has the same control tokens
}
MISTRALS = {  # the formats that are Mistral's own
    "mixtral-8x7b-instruct": "v1",
    "mixtral-8x7b-instruct-old": "v1",
    "mistral-7b-instruct-v0.1-old": "v1",
    "smaug-mixtral": "v1",
    "mixtral-8x22b-instruct": "v3",
}
UNTELLABLE = {"asimov-7b"}  # its prompt ends in `Assistant`, and once that is answered in `assistant`
PIECES = {"v1": 32_000, "v3": 32_768, "v7": 32_768, "tekken": 32_768}


@dataclass(frozen=True)
class PublishedFormat:
    name: str
    source: str
    vocabulary: Path  # of sentencepiece
    bos_token: str
    eos_token: str
    added_tokens: tuple[tuple[int, str, bool], ...]

    def dated(self) -> "PublishedFormat":
        """With a date in place of today's."""
        return replace(self, source=re.sub(r"strftime_now\([^)]*\)", '"2026-01-31"', self.source))

    def tokenizer_config(self) -> str:
        """tokenizer_config.json without the template."""
        tokens = ((1, "<s>", True), (2, "</s>", True), *self.added_tokens)
        decoder = {str(token_id): {"content": text, "special": special} for token_id, text, special in tokens}
        return json.dumps(
            {"added_tokens_decoder": decoder, "bos_token": self.bos_token, "eos_token": self.eos_token}
        )

    def render(self, messages: list[dict[str, str]], generation_prompt: bool = True) -> str | None:
        """The text as transformers renders it; None if the template raises."""
        try:
            texts, _ = render_jinja_template(
                conversations=[messages],
                chat_template=self.source,
                add_generation_prompt=generation_prompt,
                bos_token=self.bos_token,
                eos_token=self.eos_token,
            )
        except Exception:  # a template may raise anything
            return None
        return str(texts[0])


def published_formats() -> list[PublishedFormat]:
    formats = []
    for name, facts in json.loads((FOLDER / "formats.json").read_text(encoding="utf-8")).items():
        first = PIECES[facts["tokenizer"]]
        tokens = tuple(
            (first + number if token_id is None else token_id, text, special)
            for number, (token_id, text, special) in enumerate(facts["added_tokens"])
        )
        source = (FOLDER / f"{name}.jinja").read_bytes().decode()
        formats.append(
            PublishedFormat(
                name, source, VOCABULARIES[facts["tokenizer"]], facts["bos_token"], facts["eos_token"], tokens
            )
        )
    return formats


class Checkpoints:
    """Formats with their tokenizers; one for all that have the same tokens, since loading takes long."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[tuple[Path, str], Tokenizer] = {}
        self._templates: dict[str, ChatTemplate] = {}

    def template(self, form: PublishedFormat) -> ChatTemplate:
        if form.name not in self._templates:
            self._templates[form.name] = ChatTemplate(self.tokenizer(form), form.source, form.name)
        return self._templates[form.name]

    def tokenizer(self, form: PublishedFormat) -> Tokenizer:
        key = (form.vocabulary, form.tokenizer_config())
        if key not in self._loaded:
            folder = self._folder / str(len(self._loaded))
            folder.mkdir()
            shutil.copy(form.vocabulary, folder / "tokenizer.model")
            (folder / "tokenizer_config.json").write_text(form.tokenizer_config(), encoding="utf-8")
            self._loaded[key] = Tokenizer.load(folder)
        return self._loaded[key]


def names_of(tokenizer: Tokenizer) -> str:
    """A pattern for control and added tokens."""
    return "|".join(re.escape(name) for name in sorted(tokenizer.trusted_tokens, key=len, reverse=True))


def split_and_encode(tokenizer: Tokenizer, model: SentencePieceProcessor, text: str) -> list[int]:
    """The ids of a text: its control and added tokens, and sentencepiece's ids of what stands between."""
    tokens = tokenizer.trusted_tokens
    return [
        token_id
        for piece in re.split(f"({names_of(tokenizer)})", text)
        for token_id in ([tokens[piece]] if piece in tokens else model.encode(piece))
    ]

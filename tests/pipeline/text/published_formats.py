"""Chat formats of published checkpoints, with transformers as the oracle of what they render."""

import json
from dataclasses import dataclass
from pathlib import Path

import mistral_common
from transformers.utils.chat_template_utils import render_jinja_template

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

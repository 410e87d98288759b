"""Trains a small sentencepiece model with ids in Mixtral's order: unk, bos, eos, 256 bytes, then pieces."""

import io
from collections.abc import Iterable

import sentencepiece

VOCAB_SIZE = 1024


def train_tokenizer(texts: Iterable[str]) -> bytes:
    """The serialized model; the same texts give the same bytes."""
    # The trainer gets lines, since a newline ends a sentence for it. As in Mixtral, newlines stay bytes.
    lines = (line for text in texts for line in text.splitlines() if line)
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_writer=written,
        model_type="bpe",
        vocab_size=VOCAB_SIZE,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        byte_fallback=True,
        character_coverage=1.0,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    return written.getvalue()

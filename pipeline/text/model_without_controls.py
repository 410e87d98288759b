"""A tokenizer.json's model, changed so that no text gives the id of a control token.

A vocabulary may list its control tokens among its pieces, and merges, or `ignore_merges`, may lead to them:
then a row that writes `</s>` would get that very token. So these pieces get names that nobody can write:
random ones, since a name that could be foreseen is one that a row could hold. No id depends on them.
"""

from secrets import token_hex
from typing import Any

from pipeline.errors import ConfigError
from pipeline.text.tokenizer_files import TokenizerFiles

_READ = ("BPE", "Unigram")


def pieces_of_model(model: dict[str, Any]) -> dict[str, int]:
    """The pieces with their ids, as they stand in the file."""
    if model.get("type", "BPE") not in _READ:
        raise ConfigError(
            f"tokenizer.json: its model is of type {model['type']}, and read are {' and '.join(_READ)}: take "
            "the tokenizer that the model was trained with"
        )
    if model.get("type") == "Unigram":
        return {piece: token_id for token_id, (piece, _) in enumerate(model["vocab"])}
    return {piece: int(token_id) for piece, token_id in model["vocab"].items()}


def model_without_controls(model: dict[str, Any], files: TokenizerFiles) -> dict[str, Any]:
    """A copy in which pieces of control tokens have other texts, and no merge leads to them."""
    ids = pieces_of_model(model)
    controls = _controls(files)
    merges = [
        tuple(pair.split(" ", 1) if isinstance(pair, str) else pair) for pair in model.get("merges", [])
    ]
    reached = {"".join(pair) for pair in merges}
    closed = {
        token.id
        for text, token in files.added_tokens.items()
        if text in controls or (text in ids and text not in reached)
    }
    renamed = {
        piece: f"{token_hex(16)} {token_id}"
        for piece, token_id in ids.items()
        if (piece in controls or token_id in closed) and len(piece) > 1
    }
    if model.get("type") == "Unigram":
        return {**model, "vocab": [(renamed.get(piece, piece), score) for piece, score in model["vocab"]]}
    return {
        **model,
        "dropout": None,  # it would make ids random
        "vocab": {renamed.get(piece, piece): token_id for piece, token_id in ids.items()},
        "merges": [pair for pair in merges if not renamed.keys() & {*pair, "".join(pair)}],
        "unk_token": renamed.get(model.get("unk_token") or "", model.get("unk_token")),
    }


def _controls(files: TokenizerFiles) -> set[str]:
    named = {files.bos_token, files.eos_token, *files.other_tokens.values()}
    special = {text for text, token in files.added_tokens.items() if token.special}
    return special | {text for text in named if text}

"""Stop strings: those that are the text of a token end an answer at that token."""

from collections.abc import Sequence

from pipeline.text.tokenization import Tokenizer


def split_stops(tokenizer: Tokenizer, stops: Sequence[str]) -> tuple[list[str], list[int]]:
    """The stop strings to find in text, and the ids of those that are a control or added token's text.

    ValueError for a stop string that holds such a token beside other text: the token adds no text to an
    answer, so the string would never be found.
    """
    texts: list[str] = []
    ids: list[int] = []
    for stop in stops:
        token_id = tokenizer.trusted_tokens.get(stop)
        found = tokenizer.first_token(stop)
        if token_id is not None:
            ids.append(token_id)
        if token_id is None and found is not None and not tokenizer.piece_bytes(found[1]):
            raise ValueError(
                f"the string holds the token {tokenizer.piece(found[1])}, which adds no text to an answer, "
                "beside other text, so it would never be found: stop at the token alone"
            )
        texts.append(stop)
    return texts, ids

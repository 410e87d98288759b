"""Tokens for eyes: borders, white space and control characters show; long texts are cut in the middle."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import mistral_common
import pytest

from pipeline.text.shown_tokens import ShownToken, bordered, named_tokens, shown_tokens, visible
from pipeline.text.tokenization import Tokenizer

MODEL = Path(mistral_common.__file__).parent / "data" / "tokenizer.model.v1"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("v1")
    shutil.copy(MODEL, folder / "tokenizer.model")
    added = {"32000": {"content": "<|im_end|>", "special": True}}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}))
    return Tokenizer.load(folder)


def lines(tokens: list[ShownToken], width: int = 80) -> list[str]:
    return [line.plain for line in bordered(tokens, width)]


def test_borders_control_tokens_and_white_space_show(tokenizer: Tokenizer) -> None:
    ids = [1, *tokenizer.encode_trusted("Which queue?\nNow  then<|im_end|>")]
    shown = shown_tokens(ids, tokenizer)
    assert lines(shown) == ["  «<s>»│▁Which│▁queue│?│↵│", "  Now│▁│▁then│«<|im_end|>»│"]
    assert [token.text for token in shown if token.control] == ["<s>", "<|im_end|>"]


def test_what_a_row_wrote_is_not_shown_as_a_control_token(tokenizer: Tokenizer) -> None:
    [line] = lines(shown_tokens(tokenizer.encode_trusted(tokenizer.mark("</s>")), tokenizer))
    assert "«" not in line
    assert line.replace("│", "") == "  ▁</s>"


def test_a_terminal_obeys_none_of_it() -> None:
    assert visible("\x1b[2J\t[bold]│▁é日\u202e") == r"\x1b[2J\t[bold]\u2502\u2581é日\u202e"
    [line] = bordered([ShownToken("[bold]x[/bold]")], 80)
    assert line.plain == "  [bold]x[/bold]│", "and rich takes nothing for markup"


def test_half_a_character_and_ids_without_a_piece_have_a_name(tokenizer: Tokenizer) -> None:
    euro = shown_tokens([3 + byte for byte in "€".encode()], tokenizer)
    assert [token.text for token in euro] == [r"\xe2", r"\x82", r"\xac"]
    assert [token.text for token in shown_tokens([40_000], tokenizer)] == ["#40000"]
    assert lines(shown_tokens([5, 17], None)) == ["  5│17│"]


@pytest.mark.parametrize("width", [20, 33, 80])
def test_lines_break_between_tokens_and_fit(width: int) -> None:
    tokens = [ShownToken(text) for text in ("▁one", "日本語", "x" * 30, "▁", "y", "▁two", "日本") * 3]
    found = [*bordered(tokens, width)]
    assert "".join(line.plain[2:] for line in found) == "".join(f"{token.text}│" for token in tokens)
    assert all(line.cell_len <= max(width, 2 + 31) for line in found)
    for line, after in pairwise(found):
        first, _, _ = after.plain[2:].partition("│")
        assert line.cell_len + cells(first) > width, "no line is broken too early"


def cells(text: str) -> int:
    [line] = bordered([ShownToken(text)], 1000, indent="")
    return line.cell_len


def test_of_a_long_text_both_ends_are_shown() -> None:
    tokens = [ShownToken(f"t{i}") for i in range(1240)]
    found = lines(tokens)
    text = "".join(found)
    assert "  … 1,000 tokens more …" in found
    assert "t159│" in text
    assert "t160│" not in text
    assert "t1159│" not in text
    assert "t1160│" in text
    assert text.endswith("t1239│")


def test_tokens_in_a_sentence_have_their_ids(tokenizer: Tokenizer) -> None:
    assert named_tokens([32_000, 2], tokenizer) == "</s> (2), <|im_end|> (32000)"
    assert named_tokens([13], tokenizer) == "↵ (13)"
    assert named_tokens([2, 1], None) == "1, 2"

import gc
import random
import shutil
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import mistral_common
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from pipeline.text.detokenization import Detokenizer
from pipeline.text.tokenization import Tokenizer

MODEL = Path(mistral_common.__file__).parent / "data" / "tokenizer.model.v1"
FIRST_BYTE = 3


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("v1")
    shutil.copy(MODEL, folder / "tokenizer.model.v1")
    return Tokenizer.load(folder)


def join_bytes(tokenizer: Tokenizer, ids: Sequence[int], drop: bool) -> bytes:
    spoken = [token_id for token_id in ids if tokenizer.piece_bytes(token_id)]
    data = b"".join(map(tokenizer.piece_bytes, spoken))
    return data[1:] if drop and data.startswith(b" ") else data


def is_open(tail: bytes) -> bool:
    """Whether these bytes begin a character that further ones may complete."""
    if len(tail) == 2 and tail[0] == 0xED and 0xA0 <= tail[1] <= 0xBF:
        return True  # half of a surrogate: Python's incremental decoder waits for its third byte
    try:
        tail.decode()
    except UnicodeDecodeError as error:
        return error.start == 0 and error.reason == "unexpected end of data"
    return False


def slow(tokenizer: Tokenizer, ids: Sequence[int], stop: Sequence[str], drop: bool) -> tuple[str, int]:
    """The plain way: decode every beginning of the ids anew and look for the stop strings in it."""
    for count in range(1, len(ids) + 1):
        data = join_bytes(tokenizer, ids[:count], drop)
        tail = next((n for n in (1, 2, 3) if is_open(data[-n:])), 0)
        text = data[: len(data) - tail].decode(errors="replace")
        if begins := [text.index(string) for string in stop if string in text]:
            return text[: min(begins)], count
    text = join_bytes(tokenizer, ids, drop).decode(errors="replace")
    return text[: min([text.index(string) for string in stop if string in text], default=None)], len(ids)


def detokenize(tokenizer: Tokenizer, ids: Sequence[int], stop: Sequence[str], drop: bool) -> tuple[str, int]:
    """Ours, with everything checked that must hold on the way."""
    detokenizer = Detokenizer(tokenizer, stop, " " if drop else "")
    seen = [""]
    kept = 0
    for token_id in ids:
        kept += not detokenizer.stopped
        stopped = detokenizer.add(token_id)
        assert stopped == detokenizer.stopped
        assert detokenizer.text.startswith(seen[-1])
        seen.append(detokenizer.text)
    final = detokenizer.finish()
    assert detokenizer.finish() == final
    assert all(final.startswith(text) for text in seen), "text that was certain was taken back"
    return final, kept


# few letters, so that stop strings and their beginnings come up all the time
SOME_TOKENS = ["a", "b", "ab", "ba", "aba", "\u2581a", "\u2581", "\u2581b", "aa", "bb"]
SOME_BYTES = [*"é日🦙".encode(), 0x20, 0x61, 0xFF, 0xC0, 0xED, 0xA0]


PIECES = SentencePieceProcessor(model_file=str(MODEL))
TOKENS = st.lists(
    st.one_of(
        st.sampled_from([PIECES.piece_to_id(piece) for piece in SOME_TOKENS]),
        st.sampled_from([FIRST_BYTE + byte for byte in SOME_BYTES]),
        st.integers(-1, 32001),
    ),
    max_size=25,
)
STOPS = st.lists(st.text(st.sampled_from("ab 日é\ufffd"), min_size=1, max_size=5), max_size=4)


@settings(max_examples=800, deadline=None)
@example(ids=[FIRST_BYTE + 0xED, FIRST_BYTE + 0xFF, 28708], stop=["\ufffd"], drop=False)
@given(ids=TOKENS, stop=STOPS, drop=st.booleans())
def test_equals_the_plain_way(tokenizer: Tokenizer, ids: list[int], stop: list[str], drop: bool) -> None:
    assert detokenize(tokenizer, ids, stop, drop) == slow(tokenizer, ids, stop, drop)


@settings(max_examples=200, deadline=None)
@given(text=st.text(), stop=st.lists(st.text(min_size=1, max_size=3), max_size=3))
def test_equals_the_plain_way_on_encoded_text(tokenizer: Tokenizer, text: str, stop: list[str]) -> None:
    ids = tokenizer.encode(text)
    assert detokenize(tokenizer, ids, stop, True) == slow(tokenizer, ids, stop, True)
    assert detokenize(tokenizer, ids, [], True)[0] == text.replace("\u2581", " ")


def test_a_chat_turn_reads_as_sentencepiece_decodes_it(tokenizer: Tokenizer) -> None:
    rng = random.Random(3)
    spaces = [i for i in range(259, 32000) if PIECES.id_to_piece(i).startswith("\u2581")]
    for _ in range(3000):
        # whole characters only: sentencepiece writes one U+FFFD a broken byte, Python one a sequence
        ids = rng.choices([1, 2, rng.choice(spaces), rng.randrange(259, 32000)], k=6)
        assert detokenize(tokenizer, ids, [], True)[0] == PIECES.decode(ids), ids


def test_a_continuation_keeps_its_space(tokenizer: Tokenizer) -> None:
    assert detokenize(tokenizer, [22557, 1526], [], False)[0] == " Hello world"
    assert detokenize(tokenizer, [22557, 1526], [], True)[0] == "Hello world"


def test_a_character_is_text_once_its_last_byte_is_there(tokenizer: Tokenizer) -> None:
    detokenizer = Detokenizer(tokenizer)
    texts = []
    for byte in "🦙".encode():
        detokenizer.add(FIRST_BYTE + byte)
        texts.append(detokenizer.text)
    assert texts == ["", "", "", "🦙"]


def test_half_a_character_at_the_end_is_replaced(tokenizer: Tokenizer) -> None:
    ids = [FIRST_BYTE + byte for byte in "🦙".encode()[:3]]
    assert detokenize(tokenizer, ids, [], True)[0] == "\ufffd"


def test_only_what_may_begin_a_stop_string_is_held_back(tokenizer: Tokenizer) -> None:
    detokenizer = Detokenizer(tokenizer, ["\nUser:"], " ")
    texts = []
    for token_id in tokenizer.encode("Yes\nUs\nUser"):
        assert not detokenizer.add(token_id)
        texts.append(detokenizer.text)
    assert texts[0] == "Yes"
    assert texts[-1] == "Yes\nUs"
    assert detokenizer.finish() == "Yes\nUs\nUser"


def test_ids_end_with_the_token_that_completes_the_match(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("one two three four")
    detokenizer = Detokenizer(tokenizer, [" two th"], " ")
    assert [detokenizer.add(token_id) for token_id in ids] == [False, False, True, True]
    assert detokenizer.finish() == "one"


def test_the_match_that_begins_first_counts(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.encode("x")[0], *tokenizer.encode_continuation("aba")]
    assert detokenize(tokenizer, ids, ["ba", "ab"], True)[0] == "x"


def test_an_empty_stop_string_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        Detokenizer(tokenizer, ["", "x"])


def test_time_is_linear_in_the_output(tokenizer: Tokenizer) -> None:
    token = tokenizer.encode_continuation("a")[0]

    def seconds(tokens: int) -> float:
        detokenizer = Detokenizer(tokenizer, ["a" * 5000 + "b"], " ")
        begin = time.process_time()
        for _ in range(tokens):
            detokenizer.add(token)
        detokenizer.finish()
        return time.process_time() - begin

    seconds(1000)
    assert seconds(80_000) < 40 * max(seconds(8_000), 0.002)


def test_nothing_of_a_rows_stop_strings_stays_behind(tokenizer: Tokenizer) -> None:
    """Else the memory of a replica would grow with each row that has long ones of its own."""

    def held(first: int) -> int:
        for number in range(first, first + 20):
            Detokenizer(tokenizer, [f"{number}" * 1300])
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = held(100)
        assert held(200) - before < 100_000  # the borders of one such string take 32,000 bytes and more
    finally:
        tracemalloc.stop()

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import mistral_common
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.job import InputSection
from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.text.choose_format import choose_format
from pipeline.text.prompts import PromptBuilder
from pipeline.text.tokenization import Tokenizer

DATA = Path(mistral_common.__file__).parent / "data"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}"
)
HELLO = [{"role": "user", "content": "Hello"}]


def load(folder: Path, file: str, **config: object) -> Tokenizer:
    folder.mkdir()
    shutil.copy(
        DATA / file,
        folder / ("tokenizer" + file[file.index(".model") :] if not config else "tokenizer.model"),
    )
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    root = tmp_path_factory.mktemp("checkpoints")
    added = {"32000": {"content": "<|im_end|>"}, "32001": {"content": "<|im_start|>"}}
    return {
        "instruct": load(root / "instruct", "tokenizer.model.v1"),
        "base": load(root / "base", "tokenizer.model.v1", bos_token="<s>"),
        "v3": load(root / "v3", "mistral_instruct_tokenizer_240323.model.v3"),
        "chatml": load(
            root / "chatml", "tokenizer.model.v1", chat_template=CHATML, added_tokens_decoder=added
        ),
        "v7": load(root / "v7", "mistral_instruct_tokenizer_241114.model.v7", bos_token="<s>"),
    }


def builder(tokenizer: Tokenizer, chat: bool | str = "auto", **prompt: str) -> PromptBuilder:
    return build_for(tokenizer, tokenizer.vocab_size, chat, **prompt)


def build_for(
    tokenizer: Tokenizer, vocab_size: int, chat: bool | str = "auto", **prompt: str
) -> PromptBuilder:
    config = InputSection.model_validate({"path": "x", "prompt": prompt, "chat": chat})
    return PromptBuilder(config, choose_format(config, tokenizer, ()), vocab_size)


def error_of(prompts: PromptBuilder, record: dict[str, Any]) -> RowError:
    with pytest.raises(RowError) as caught:
        prompts.build(record)
    return caught.value


@pytest.mark.parametrize(
    ("checkpoint", "chat", "expected"),
    [
        ("instruct", "auto", [1, 733, 16289, 28793, 22557, 733, 28748, 16289, 28793]),
        ("instruct", False, [1, 22557]),
        ("base", "auto", [1, 22557]),
        ("base", True, [1, 733, 16289, 28793, 22557, 733, 28748, 16289, 28793]),
        ("v3", "auto", [1, 3, 23325, 4]),
        ("v7", False, [1, 23325]),
    ],
)
def test_text_in_every_format(
    tokenizers: dict[str, Tokenizer], checkpoint: str, chat: bool | str, expected: list[int]
) -> None:
    for prompt in ({"column": "q"}, {"template": "{{ q }}"}):
        built = builder(tokenizers[checkpoint], chat, **prompt).build({"q": "Hello"})
        assert (built.token_ids, built.text) == (expected, "Hello")


def test_messages(tokenizers: dict[str, Tokenizer]) -> None:
    for checkpoint, ids in (
        ("instruct", [1, 733, 16289, 28793, 22557, 733, 28748, 16289, 28793]),
        ("v3", [1, 3, 23325, 4]),
    ):
        built = builder(tokenizers[checkpoint], messages="m").build({"m": HELLO})
        assert built.token_ids == ids
        assert json.loads(built.text or "") == HELLO


def test_messages_that_are_stored_as_json(tokenizers: dict[str, Tokenizer]) -> None:
    messages = builder(tokenizers["v3"], messages="m")
    assert messages.build({"m": json.dumps(HELLO)}) == messages.build({"m": HELLO})


def test_a_template_s_last_line_break_and_its_cut_documents(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["base"]
    document = "The quick brown fox jumps over the lazy dog. " * 50
    source = "Read: {{ text | first_tokens(7) }}</s>\nSay it.\n"
    built = builder(tokenizer, False, template=source).build({"text": document + "</s>"})
    begun = tokenizer.decode(tokenizer.encode(document)[:7]).strip()
    assert built.text == f"Read: {begun}</s>\nSay it.\n"
    assert built.token_ids == [1, *tokenizer.encode_trusted(f"Read: {begun}</s>\nSay it.\n")]
    row = "</s>" * 3
    cut = builder(tokenizer, False, template="{% set t %}{{ text }}{% endset %}{{ t | first_tokens(9) }}")
    assert tokenizer.eos_id not in cut.build({"text": row}).token_ids, "what a row holds is text even if cut"


def test_a_template_of_the_checkpoints_own(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["chatml"]
    expected = tokenizer.encode_trusted("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    assert builder(tokenizer, messages="m").build({"m": HELLO}).token_ids == expected
    assert builder(tokenizer, column="q").build({"q": "Hello"}).token_ids == expected
    assert builder(tokenizer, chat=False, column="q").build({"q": "<|im_end|>"}).token_ids[0] == 1
    assert 32000 not in builder(tokenizer, chat=False, column="q").build({"q": "<|im_end|>"}).token_ids


def test_token_ids_are_taken_as_they_are(tokenizers: dict[str, Tokenizer]) -> None:
    prompts = builder(tokenizers["instruct"], token_ids="t")
    built = prompts.build({"t": [1, 0, 31999]})
    assert (built.token_ids, built.text) == ([1, 0, 31999], None)


@pytest.mark.parametrize(
    ("prompt", "columns"),
    [
        ({"column": "q"}, {"q"}),
        ({"messages": "m"}, {"m"}),
        ({"token_ids": "t"}, {"t"}),
        ({"template": "{{ a }}{% if b %}{{ c.d }}{% endif %}"}, {"a", "b", "c"}),
        ({"template": "{{ a | default('') }}{{ row['b c'] }}"}, {"a", "b c", "row"}),
        ({"template": "{{ row | tojson }}"}, None),
    ],
)
def test_columns(tokenizers: dict[str, Tokenizer], prompt: dict[str, str], columns: set[str] | None) -> None:
    assert builder(tokenizers["instruct"], **prompt).columns == columns


@pytest.mark.parametrize(
    ("prompt", "record", "code"),
    [
        ({"column": "q"}, {}, "MISSING_COLUMN"),
        ({"column": "q"}, {"q": None}, "NULL_PROMPT"),
        ({"column": "q"}, {"q": ""}, "EMPTY_PROMPT"),
        ({"column": "q"}, {"q": " \n\t\u3000"}, "EMPTY_PROMPT"),
        ({"column": "q"}, {"q": 3}, "WRONG_TYPE"),
        ({"column": "q"}, {"q": ["SECRET"]}, "WRONG_TYPE"),
        ({"column": "q"}, {"q": "SECRET \ud83d"}, "INVALID_UTF8"),
        ({"template": "{{ q }}"}, {}, "MISSING_COLUMN"),
        ({"template": "{{ q }}"}, {"q": None}, "NULL_PROMPT"),
        ({"template": "{{ q }}"}, {"q": " "}, "EMPTY_PROMPT"),
        ({"template": "{{ q.a.b }}"}, {"q": {"c": "SECRET"}}, "MISSING_COLUMN"),
        ({"messages": "q"}, {}, "MISSING_COLUMN"),
        ({"messages": "q"}, {"q": None}, "NULL_PROMPT"),
        ({"messages": "q"}, {"q": "SECRET"}, "WRONG_TYPE"),
        ({"messages": "q"}, {"q": '{"role": "user", "content": "SECRET"}'}, "WRONG_TYPE"),
        ({"messages": "q"}, {"q": '[{"role": "user"}]'}, "BAD_MESSAGES"),
        ({"messages": "q"}, {"q": "[]"}, "BAD_MESSAGES"),
        ({"messages": "q"}, {"q": []}, "BAD_MESSAGES"),
        ({"messages": "q"}, {"q": [{"role": "user", "content": " "}]}, "EMPTY_PROMPT"),
        ({"messages": "q"}, {"q": [{"role": "user", "content": "SECRET\udc00"}]}, "INVALID_UTF8"),
        ({"messages": "q"}, {"q": [{"role": "robot", "content": "SECRET"}]}, "BAD_MESSAGES"),
        ({"token_ids": "q"}, {}, "MISSING_COLUMN"),
        ({"token_ids": "q"}, {"q": None}, "NULL_PROMPT"),
        ({"token_ids": "q"}, {"q": []}, "EMPTY_PROMPT"),
        ({"token_ids": "q"}, {"q": "SECRET"}, "WRONG_TYPE"),
        ({"token_ids": "q"}, {"q": 5}, "WRONG_TYPE"),
        ({"token_ids": "q"}, {"q": [1, 32000]}, "BAD_TOKEN_ID"),
        ({"token_ids": "q"}, {"q": [1, -1]}, "BAD_TOKEN_ID"),
        ({"token_ids": "q"}, {"q": [1, True]}, "BAD_TOKEN_ID"),
        ({"token_ids": "q"}, {"q": [1, 1.0]}, "BAD_TOKEN_ID"),
        ({"token_ids": "q"}, {"q": [1, None]}, "BAD_TOKEN_ID"),
        ({"token_ids": "q"}, {"q": [1, "SECRET"]}, "BAD_TOKEN_ID"),
    ],
)
def test_row_errors(
    tokenizers: dict[str, Tokenizer], prompt: dict[str, str], record: dict[str, Any], code: str
) -> None:
    error = error_of(builder(tokenizers["instruct"], **prompt), record)
    assert error.code is RowErrorCode(code)
    assert "SECRET" not in str(error)


@pytest.mark.parametrize(
    ("checkpoint", "chat", "prompt", "message"),
    [
        ("base", "auto", {"messages": "m"}, "needs an instruct checkpoint"),
        ("instruct", False, {"messages": "m"}, "does not go with messages"),
        ("instruct", True, {"token_ids": "t"}, "has no effect on token_ids"),
        ("instruct", "auto", {"template": "{{ q"}, r"input\.prompt\.template, line 1"),
    ],
)
def test_jobs_that_cannot_be(
    tokenizers: dict[str, Tokenizer], checkpoint: str, chat: bool | str, prompt: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        builder(tokenizers[checkpoint], chat, **prompt)


def test_token_ids_need_no_tokenizer() -> None:
    config = InputSection.model_validate({"path": "x", "prompt": {"token_ids": "t"}})
    assert PromptBuilder(config, None, 50).build({"t": [49]}).token_ids == [49]
    assert error_of(PromptBuilder(config, None, 49), {"t": [49]}).code is RowErrorCode.BAD_TOKEN_ID


def test_the_tokenizer_must_be_the_models(tokenizers: dict[str, Tokenizer]) -> None:
    for checkpoint, vocab_size in (("instruct", 31999), ("v3", 32000), ("chatml", 32000)):
        with pytest.raises(ConfigError, match=f"vocab_size is {vocab_size}"):
            build_for(tokenizers[checkpoint], vocab_size, column="q")
    # an added token that nothing writes is no reason to refuse
    assert build_for(tokenizers["chatml"], 32000, False, column="q").build({"q": "Hello"}).token_ids == [
        1,
        22557,
    ]


def test_a_pickle_builds_the_same(tokenizers: dict[str, Tokenizer]) -> None:
    for prompt in ({"template": "Q: {{ q }}"}, {"column": "q"}):
        prompts = builder(tokenizers["chatml"], **prompt)
        data = pickle.dumps(prompts)
        assert pickle.loads(data).build({"q": "Hi"}) == prompts.build({"q": "Hi"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content"]), inner),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(value=JSON, source=st.sampled_from(["column", "messages", "token_ids", "template"]))
def test_any_value_is_a_prompt_or_a_row_error(
    tokenizers: dict[str, Tokenizer], value: object, source: str
) -> None:
    prompts = builder(tokenizers["instruct"], **{source: "{{ q }}" if source == "template" else "q"})
    try:
        ids = prompts.build({"q": value}).token_ids
    except RowError:
        return
    assert ids
    assert all(type(token_id) is int and 0 <= token_id < 32000 for token_id in ids)

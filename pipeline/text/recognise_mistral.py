"""Whether a chat template is one of Mistral's own, told by what it renders.

Those formats are defined over token ids, not over text (see `pipeline.text.mistral_format`): the text that
Mistral's templates render gives other ids at the borders of turns. Every other template is rendered.
"""

from pipeline.errors import RowError
from pipeline.text.chat_template import ChatTemplate
from pipeline.text.messages import Message
from pipeline.text.tokenization import Tokenizer
from pipeline.text.vocabulary_file import InstructVersion

# What stands before and behind a user's text, and before and behind an answer.
_SHAPES: dict[InstructVersion, list[tuple[str, str, str, str]]] = {
    "v1": [
        ("[INST] ", " [/INST]", "", "</s>"),  # Mixtral-8x7B-Instruct and Mistral-7B-Instruct-v0.2 at first
        ("[INST] ", " [/INST]", "", "</s> "),  # Mistral-7B-Instruct-v0.1 at first
        (" [INST] ", " [/INST]", " ", "</s>"),  # all of them since September 2024
    ],
    "v2": [],
    "v3": [
        ("[INST] ", " [/INST]", "", "</s>"),  # Mistral-7B-Instruct-v0.3 at first
        ("[INST] ", " [/INST]", " ", "</s>"),
        ("[INST] ", "[/INST]", " ", "</s>"),  # since June 2024
    ],
    "v7": [("[INST] ", "[/INST]", " ", "</s>")],
}
_SHAPES["v2"] = _SHAPES["v3"]

# With white space around a user's texts, which other templates take away.
_SYSTEM = Message("system", (" \nssystemm ",))
_FIRST = Message("user", (" \nffirstt ",))
_ANSWER = Message("assistant", ("aanswerr",))
_SECOND = Message("user", (" ssecondd\n",))


def mistral_version(template: ChatTemplate, tokenizer: Tokenizer) -> InstructVersion | None:
    """The version of Mistral's format that the template renders; None if it is another format."""
    version = tokenizer.vocabulary_version
    if version is None or not tokenizer.dummy_space:  # without one the text that is rendered gives the ids
        return None
    for shape in _SHAPES[version]:
        if _renders(template, shape, version):
            return version
    return None


def _renders(template: ChatTemplate, shape: tuple[str, str, str, str], version: InstructVersion) -> bool:
    begin, end, before, behind = shape
    first, second = f"{begin}{_FIRST.content}{end}", f"{begin}{_SECOND.content}{end}"
    answer = f"{before}{_ANSWER.content}{behind}"
    with_system = {
        "v1": f"{begin}{_SYSTEM.content}\n\n{_FIRST.content}{end}{answer}{second}",
        "v7": f"[SYSTEM_PROMPT] {_SYSTEM.content}[/SYSTEM_PROMPT]{first}{answer}{second}",
    }.get(version, f"{first}{answer}{begin}{_SYSTEM.content}\n\n{_SECOND.content}{end}")
    try:
        if template.text([_FIRST, _ANSWER, _SECOND]) != f"<s>{first}{answer}{second}":
            return False
        if template.text([_FIRST]) != f"<s>{first}":
            return False
    except RowError:
        return False
    try:
        return template.text([_SYSTEM, _FIRST, _ANSWER, _SECOND]) == f"<s>{with_system}"
    except RowError:  # the older ones refuse system prompts
        return True

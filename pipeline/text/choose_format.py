"""Which format the prompts of a job have: what `input.chat` says, and what the checkpoint brings."""

from collections.abc import Iterable
from contextlib import suppress

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError
from pipeline.text.chat_template import ChatTemplate
from pipeline.text.mistral_format import MistralFormat
from pipeline.text.prompt_format import PlainFormat, PromptFormat
from pipeline.text.recognise_mistral import mistral_version
from pipeline.text.template_format import TemplateFormat
from pipeline.text.tokenization import Tokenizer

ADDS_EOS = "tokenizer_config.json says add_eos_token: true"


def choose_format(
    section: InputSection, tokenizer: Tokenizer, model_end_ids: Iterable[int], may_close: bool = False
) -> PromptFormat:
    """`model_end_ids` are those of the checkpoint's config.json and generation_config.json.

    `may_close`: nothing follows a prompt, so the tokenizer may want the end of the sequence behind it.

    ConfigError if `input.chat` or `input.chat_template` cannot be met.
    """
    end_ids = frozenset(model_end_ids)
    _check(section)
    if section.prompt.token_ids is not None or section.chat is False:
        with suppress(ConfigError):  # the template is not needed, but it may know what ends an answer
            found = _of_template(section, tokenizer, end_ids)
            end_ids = found.end_ids if found else end_ids
        return _plain(section, tokenizer, end_ids, may_close)
    found = _of_template(section, tokenizer, end_ids)
    if found is not None:
        return found
    version = tokenizer.instruct_version
    if version is not None:
        return MistralFormat(tokenizer, version, f"Mistral's format {version}, from the vocabulary", end_ids)
    if section.chat == "auto" and section.prompt.messages is None:
        return _plain(section, tokenizer, end_ids, may_close)
    return _although_no_instruct(section, tokenizer, end_ids)


def _check(section: InputSection) -> None:
    source = section.prompt
    for key, given in (("chat: true", section.chat is True), ("chat_template", section.chat_template)):
        if source.token_ids is not None and given:
            raise ConfigError(
                f"input.{key} has no effect on token_ids, which are taken as they are: remove it"
            )
    if section.chat is False and source.messages is not None:
        raise ConfigError("input.chat: false does not go with messages: use a template or a column of text")
    if section.chat is False and section.chat_template is not None:
        raise ConfigError("input.chat: false leaves input.chat_template without effect: remove one of them")


def _plain(
    section: InputSection, tokenizer: Tokenizer, end_ids: frozenset[int], may_close: bool
) -> PlainFormat:
    if tokenizer.around.behind and not may_close and section.prompt.token_ids is None:
        names = "".join(map(tokenizer.piece, tokenizer.around.behind))
        stated = f"the post_processor of tokenizer.json puts {names} behind every text"
        raise ConfigError(
            f"{tokenizer.folder}: {stated if tokenizer.files.around else ADDS_EOS}, which would end every "
            "plain prompt before its answer begins; remove it there, or use a chat format (input.chat: true)"
        )
    return PlainFormat(tokenizer, end_ids, as_given=section.prompt.token_ids is not None)


def _of_template(section: InputSection, tokenizer: Tokenizer, end_ids: frozenset[int]) -> PromptFormat | None:
    """The format of the job's or the checkpoint's chat template; None if there is neither."""
    files = tokenizer.files
    text, where = section.chat_template, "input.chat_template"
    if text is None:
        text, where = files.chat_template, f"the chat template of {files.template_file}"
        if text is None and files.template_names:
            raise ConfigError(
                f"{tokenizer.folder}: tokenizer_config.json has chat templates called "
                f"{', '.join(files.template_names)}, none of them default: give one with input.chat_template"
            )
    if text is None or not text.strip():
        return None
    template = ChatTemplate(tokenizer, text, where)
    version = mistral_version(template, tokenizer)
    if version is not None:
        return MistralFormat(tokenizer, version, f"Mistral's format {version}, as {where} renders", end_ids)
    return TemplateFormat(tokenizer, template, where, end_ids)


def _although_no_instruct(
    section: InputSection, tokenizer: Tokenizer, end_ids: frozenset[int]
) -> MistralFormat:
    """Mistral's format for a checkpoint that looks like a base model, if the job asks for it."""
    version = tokenizer.vocabulary_version
    if version is None or tokenizer.bos_id is None:
        raise ConfigError(f"{tokenizer.folder}: it has no chat template; give one with input.chat_template")
    if section.chat == "auto":
        raise ConfigError(
            f"input.prompt.messages needs an instruct checkpoint, and {tokenizer.folder} looks like none: "
            f"set input.chat: true to use Mistral's format {version} all the same, or give "
            "input.chat_template"
        )
    return MistralFormat(tokenizer, version, f"Mistral's format {version}, from the vocabulary", end_ids)

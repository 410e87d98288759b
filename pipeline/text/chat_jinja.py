"""The jinja of chat templates: compiled so that they render as transformers' `apply_chat_template` does."""

from typing import NoReturn

from jinja2 import Undefined, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.templates import BoundedTemplate


class GenerationBlock(Extension):
    """`{% generation %}`: around what the assistant wrote, for those who train. Its body is text as any."""

    tags = {"generation"}  # noqa: RUF012  # as jinja2 has it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def compile_chat_template(source: str, where: str) -> BoundedTemplate:
    """ConfigError if it is not a template; a name that is missing prints nothing and counts as false."""
    return BoundedTemplate(
        source,
        where=where,
        print_nulls=True,
        functions={"raise_exception": _raise_exception},
        undefined=Undefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[GenerationBlock, "jinja2.ext.loopcontrols"],
    )


def _raise_exception(message: object = "") -> NoReturn:
    raise RowError(RowErrorCode.BAD_MESSAGES, "the checkpoint's chat template refuses these messages")

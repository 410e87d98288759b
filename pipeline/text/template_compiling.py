"""Where templates are parsed and compiled: on a stack of their own, with errors in their authors' words.

jinja and Python go down a source by recursion. So how deep it may nest would depend on who calls, and be
another depth in a driver than in a worker.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from jinja2 import TemplateSyntaxError
from jinja2.exceptions import TemplateError

from pipeline.errors import ConfigError

Made = TypeVar("Made")


def on_own_stack(work: Callable[[], Made], where: str) -> Made:
    """What `work` makes of a template's source; ConfigError if it is no template."""
    try:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="template") as thread:
            return thread.submit(work).result()
    except TemplateSyntaxError as error:
        raise ConfigError(f"{where}, line {error.lineno}: {error.message}") from error
    except (TemplateError, RecursionError, MemoryError, SyntaxError, ValueError, AssertionError) as error:
        raise ConfigError(f"{where}: not a valid template: {_in_words(error)}") from error


def _in_words(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "its brackets, operators and blocks nest too deep: give a part of them a name with {% set %}"
    if isinstance(error, MemoryError):
        return "to compile it takes more memory than there is"
    if isinstance(error, SyntaxError):  # of the Python that jinja makes, whose lines nobody knows
        return error.msg
    if "int_max_str_digits" in str(error):
        return f"a number has more than {sys.get_int_max_str_digits()} digits"
    return str(error)

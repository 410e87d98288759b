"""A process that compiles and renders templates for another one: `python -m pipeline.text.render_process`.

`rendering_apart` starts it and sends requests; each answer is a line of JSON. Its limits are the kernel's: of
memory, and of processor time for each request, which also end it when nobody is there any more to do so.
"""

import json
import pickle
import resource
import sys
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.errors import ConfigError, RowError, describe_without_message
from pipeline.text.rendering_apart import LENGTH, PROCESSOR_SECONDS
from pipeline.text.templates import BoundedTemplate

SPARE_MEMORY = 1 << 30  # bytes of address space over what the imports take
_MOST_TEMPLATES = 16  # which may hold a tokenizer each


def main() -> None:
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limit(resource.RLIMIT_AS, used + SPARE_MEMORY)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    templates: dict[int, BoundedTemplate] = {}
    _say(answers, {})  # it is ready
    while length := requests.read(LENGTH.size):
        spent = resource.getrusage(resource.RUSAGE_SELF)
        limit(resource.RLIMIT_CPU, int(spent.ru_utime + spent.ru_stime) + PROCESSOR_SECONDS)
        _say(answers, answered(templates, requests.read(*LENGTH.unpack(length))))


def _say(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def answered(templates: dict[int, BoundedTemplate], request: bytes) -> dict[str, Any]:
    """What came of it: a text, an error of the row, or one of the template."""
    try:
        key, made_of, values = pickle.loads(request)
        if made_of is None and key not in templates:
            return {}
        if made_of is not None:
            if len(templates) >= _MOST_TEMPLATES:
                templates.clear()
            make, options = made_of
            templates[key] = make(**options)
        return {"text": None if values is None else templates[key].render(values)}
    except RowError as error:
        if isinstance(error.__cause__, MemoryError):
            return _too_large()
        return {"code": error.code, "message": error.message}
    except MemoryError:
        return _too_large()
    except ConfigError as error:
        return {"refused": str(error)}
    except Exception as error:  # the other process raises it
        return {"bug": describe_without_message(error)}


def limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _too_large() -> dict[str, Any]:
    return {"wrong": f"it takes more than {SPARE_MEMORY >> 20} MB"}


if __name__ == "__main__":
    main()

"""How credentials stay out of job files and of messages, in whatever part of a URL they stand."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from pipeline.errors import shown

_MOST_DECODINGS = 8  # of percent encoding that is encoded again
_FIRST = r"(?<![^\s'\"(:])"  # at the beginning of a word, or of a URL in another one
_START = rf"(?:{_FIRST}[a-z][a-z0-9+.-]*:/+|[a-z][a-z0-9+.-]*://+|{_FIRST}//+)"
_URL = re.compile(_START, re.IGNORECASE)
# A secret key may contain slashes; `host:9000/` is a port, no user and password, but buckets have no ports.
_USER = re.compile(rf"({_START})(?:[^/@:]*:(?!\d{{1,5}}/).*|[^/]*)@", re.IGNORECASE | re.DOTALL)
_USER_OF_BUCKET = re.compile(r"((?:s3a?|gs|gcs):/+)[^/@:]*:.*@", re.IGNORECASE | re.DOTALL)
_NAMES = (
    r"x-(?:amz|goog|ms)-[\w-]+|awsaccesskeyid|googleaccessid|sig|signature|sas|(?:\w+[_-])?token|auth|"
    r"authorization|bearer|api[_-]?key|access[_-]?key(?:[_-]?id)?|(?:account|secret|private)[_-]?key|"
    r"(?:client[_-]?)?secret|pass|passwd|password|pwd|credentials?"
)
_CUTS = (
    re.compile(r"[?#][^/?#]*=.*", re.DOTALL),
    re.compile(rf"[?#&;,/]\s*(?:{_NAMES})\s*=.*", re.IGNORECASE | re.DOTALL),
)
_CUT_OF_HTTP = re.compile(r"[?#].*", re.DOTALL)
_REFUSAL = (
    "credentials do not belong in a job file, nor does a URL with ?...= or #...=, which may be signed: "
    "give the plain URL, and the credentials in the environment (AWS_..., GOOGLE_...)"
)


def redact(text: str) -> str:
    """A URL, or a text that contains URLs, without users, passwords, queries and fragments."""
    return "".join(_clean(word) for word in re.split(r"(\s+)", text))


def named(path: str) -> str:
    """A path or URL as messages and tables show it: redacted, printable and in one line."""
    return shown(redact(path))


def redact_value(value: str) -> str:
    """A value that may be a URL as a whole, even one with white space in its password."""
    return redact(_clean(value))


def without_credentials(path: str) -> str:
    """Returns `path`; ValueError, which does not quote it, if it is a URL with credentials.

    That is one with a user, a password, or a query or fragment (maybe a signature), percent-encoded or not.
    """
    if _clean(path) != path:
        raise ValueError(_REFUSAL)
    return path


def is_refusal(message: str) -> bool:
    """Whether a message is that of `without_credentials`: what was given must not be shown beside it."""
    return message.endswith(_REFUSAL)


def _clean(word: str) -> str:
    """A word without credentials; as it was if it has none, and decoded if they were percent-encoded."""
    for decoded in _decodings(word):
        cleaned = _without(decoded)
        if cleaned != decoded:
            return _clean(cleaned)
    return word


def _decodings(word: str) -> Iterator[str]:
    for _ in range(_MOST_DECODINGS):
        yield word
        decoded = unquote(word, errors="replace")
        if decoded == word:
            return
        word = decoded


def _without(url: str) -> str:
    """A decoded URL without its credentials; what is no URL stays as it is."""
    found = _URL.search(url)
    if found is None:
        return url
    url = _USER_OF_BUCKET.sub(r"\1", _USER.sub(r"\1", url))
    of_http = found.group().lower().startswith("http")
    for cut in (*_CUTS, _CUT_OF_HTTP) if of_http else _CUTS:
        url = url[: found.end()] + cut.sub("", url[found.end() :])
    return url

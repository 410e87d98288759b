"""The methods that templates may call, and what a call pays before it is made."""

from typing import Any

from pipeline.text.template_budget import Budget


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


METHODS = {
    str: words(
        "capitalize casefold count endswith find index isalnum isalpha isdigit islower isspace istitle "
        "isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition "
        "rsplit rstrip split splitlines startswith strip title upper"
    ),
    dict: words("get items keys values"),
    list: words("count index"),
    tuple: words("count index"),
    int: words(""),
    float: words("is_integer"),
}
_SEARCHING = words("count find index partition split")
_SEARCHING_BACKWARDS = words("rfind rindex rpartition rsplit")
_STRIPPING = words("lstrip rstrip strip")
_SPLITTING = words("rsplit split splitlines")
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_PIECE = 64  # bytes of a short text and its place in a list, without its characters


def allowed_methods(value: object) -> frozenset[str] | None:
    """None if the value is of no type that is known here."""
    found = METHODS.get(type(value))
    if found is None:
        found = next((names for kind, names in METHODS.items() if isinstance(value, kind)), None)
    return found


def pay_for_method(
    spend: Budget, owner: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Arguments of texts are few and short, as a rule; of a list or an object all of them are weighed."""
    if not isinstance(owner, str):
        for value in args:
            spend.weigh(value)
        if isinstance(owner, list | tuple):
            spend.weigh(owner)
            spend.print(list(args))  # Python's message quotes what it does not find
        return
    given = args[0] if args else kwargs.get("sep")
    if given is not None:
        spend.weigh(given)
        if name in _SEARCHING:
            spend.work(search_steps(owner, given))
        elif name in _SEARCHING_BACKWARDS:
            spend.work(search_steps(owner, given, backwards=True))
        elif name in _STRIPPING and isinstance(given, str):
            spend.work(len(owner) * len(given) >> 10)
    if name in _SPLITTING:
        pieces = _pieces(owner, name, given)
        spend.work(pieces >> 2)
        spend.keep(pieces * _PIECE)
    if name == "title":
        spend.work(len(owner) >> 5)
    spend.keep_text(len(owner), like=owner)


def _pieces(text: str, name: str, separator: object) -> int:
    """As many as there may be."""
    if name == "splitlines":
        return 1 + sum(map(text.count, _LINE_ENDS))
    if isinstance(separator, str) and separator:
        return 1 + text.count(separator)
    return 1 + len(text) // 2


def search_steps(text: Any, sought: Any, backwards: bool = False) -> int:
    """What it costs to look for a text in another one: in bad cases the product of their lengths.

    Python looks forwards for long texts in linear time.
    """
    if not isinstance(sought, str | bytes):
        return 1
    length = len(sought) if backwards else min(len(sought), 128)
    return (len(text) * length >> 10) + (len(text) + len(sought) >> 8)

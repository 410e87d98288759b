"""Writes support tickets in five languages, with the queue each belongs to and a reply.

Sentences come from phrases/*.toml; names, products, order numbers, dates and amounts fill them in. Training
and held-out tickets share no customer name, no product and no order number, and the last phrasing of every
topic is never trained on, so a held-out ticket is one that the model cannot have seen.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from configs.demo.recipe.holdout import is_held_out

LANGUAGES = ("en", "de", "fr", "es", "it")
NEW_PHRASING_SHARE = 0.06  # of held-out tickets
PRODUCT_STARTS = ["Lu", "Ae", "Nor", "Ve", "Ki", "Bri", "Pi", "Ter", "On", "Fli", "So", "Mi"]
PRODUCT_ENDS = ["mo", "ra", "dix", "la", "to", "sa", "xo", "na", "da", "zen", "vik", "ro"]
MODELS = ["S2", "300", "Mini", "Pro", "Max", "Air", "X5"]


@dataclass(frozen=True)
class Ticket:
    language: str
    queue: str
    topic: str
    product: str
    phrasing: str  # "known", or "new" where the model was never trained on the sentence with the problem
    text: str
    reply: str


@cache
def phrasebook(language: str) -> dict[str, Any]:
    file = Path(__file__).parent / "phrases" / f"{language}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def write_ticket(random: Random, language: str, held_out: bool) -> Ticket:
    """One ticket; the same state of `random` gives the same ticket."""
    while True:
        ticket, slots_used = _compose(random, language, held_out)
        # A ticket without one of these has only fixed phrases, and could be in training and held out alike.
        if ticket.phrasing == "new" or slots_used & {"name", "product", "order"}:
            return ticket


def _compose(random: Random, language: str, held_out: bool) -> tuple[Ticket, set[str]]:
    book = phrasebook(language)
    queue = random.choice(list(book["topics"]))
    topic, phrases = random.choice(list(book["topics"][queue].items()))
    slots = _fillers(random, book, held_out)
    *known, new = phrases["says"]
    is_new = held_out and random.random() < NEW_PHRASING_SHARE
    problem = new if is_new else random.choice(known)

    greeting, closing = random.choice(book["greetings"]), random.choice(book["closings"])
    around = [random.choice(book["contexts"])] if random.random() < 0.6 else []
    if random.random() < 0.35:
        other = random.choice([name for name in book["asides"] if name != queue])
        around.append(random.choice(book["asides"][other]))
    body = [*around, problem]
    random.shuffle(body)
    templates = [greeting, *body, closing]

    breaks = random.choice([" ", " ", "\n"])
    text = breaks.join(template.format(**slots) for template in templates if template)
    if random.random() < 0.12:
        text = _typo(random, text)
    if random.random() < 0.08:
        text = text.lower()
    used = {slot for slot in slots if any("{" + slot + "}" in template for template in templates)}
    phrasing = "new" if is_new else "known"
    return Ticket(language, queue, topic, slots["product"], phrasing, text, phrases["reply"]), used


def _fillers(random: Random, book: dict[str, Any], held_out: bool) -> dict[str, str]:
    def pick(write: Callable[[], str]) -> str:
        while True:
            text = write()
            if is_held_out(text) == held_out:
                return text

    month, day = random.choice(book["months"]), random.randint(1, 28)
    whole, cents = random.randint(5, 240), random.choice(["00", "50", "90", "95", "99"])
    product = pick(lambda: random.choice(PRODUCT_STARTS) + random.choice(PRODUCT_ENDS))
    return {
        "name": pick(lambda: f"{random.choice(book['first_names'])} {random.choice(book['last_names'])}"),
        "product": f"{product} {random.choice(MODELS)}",
        "order": pick(lambda: str(random.randint(10000, 99999))),
        "date": book["date"].format(month=month, day=day),
        "amount": book["amount"].format(whole=whole, cents=cents),
    }


def _typo(random: Random, text: str) -> str:
    """Swap two neighbouring letters of a word, or lose one; names and numbers stay as they are."""
    words = [match.start() for match in re.finditer(r"\w{4,}", text) if match[0].islower()]
    at = random.choice(words) + random.randint(1, 2)
    if random.random() < 0.5:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :]

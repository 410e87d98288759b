"""Questions about code and arithmetic: two more kinds of text for the router to tell apart."""

from dataclasses import dataclass
from random import Random

from configs.demo.recipe.holdout import is_held_out

GOODS = ["lamp", "desk", "chair", "phone", "cable", "clock", "radio", "watch"]
CITIES = ["Rome", "Paris", "Berlin", "Madrid", "London", "Milan", "Vienna"]
TABLES = ["orders", "customers", "returns", "payments"]


@dataclass(frozen=True)
class Puzzle:
    language: str  # "code" or "math"
    instruction: str
    text: str
    answer: str


def write_puzzle(random: Random, language: str, held_out: bool) -> Puzzle:
    """One question, for training or held out."""
    write = {"code": random.choice([_python, _sql, _json]), "math": _arithmetic}[language]
    while True:
        instruction, text, answer = write(random)
        if is_held_out(text) == held_out:
            return Puzzle(language, instruction, text, answer)


def _arithmetic(random: Random) -> tuple[str, str, str]:
    a, b = random.randint(2, 49), random.randint(2, 49)
    sign, result = random.choice([("+", a + b), ("-", a - b), ("+", a + b)])
    ask = random.choice(["What is {} {} {}?", "{} {} {} = ?", "How much is {} {} {}?"])
    return "Calculate.", ask.format(a, sign, b), str(result)


def _python(random: Random) -> tuple[str, str, str]:
    instruction = "What does this code print?"
    goods = random.sample(GOODS, 3)
    if random.random() < 0.5:
        name, index = random.choice(["items", "names", "goods"]), random.randrange(3)
        listed = ", ".join(f'"{item}"' for item in goods)
        return instruction, f"{name} = [{listed}]\nprint({name}[{index}])", goods[index]
    stock = {item: random.randint(1, 9) for item in goods}
    pairs = ", ".join(f'"{item}": {count}' for item, count in stock.items())
    wanted = random.choice(goods)
    return instruction, f'stock = {{{pairs}}}\nprint(stock["{wanted}"])', str(stock[wanted])


def _sql(random: Random) -> tuple[str, str, str]:
    instruction = "What does this query return?"
    table, city, limit = random.choice(TABLES), random.choice(CITIES), random.randint(2, 9)
    if random.random() < 0.5:
        text = f"SELECT count(*) FROM {table} WHERE city = '{city}';"
        return instruction, text, f"The number of {table} in {city}."
    text = f"SELECT id FROM {table} WHERE city = '{city}' ORDER BY amount DESC LIMIT {limit};"
    return instruction, text, f"The {limit} largest {table} in {city}."


def _json(random: Random) -> tuple[str, str, str]:
    table, city, goods = random.choice(TABLES), random.choice(CITIES), random.sample(GOODS, 2)
    text = (
        f'{{"table": "{table}", "id": {random.randint(100, 999)}, "city": "{city}", '
        f'"items": ["{goods[0]}", "{goods[1]}"]}}'
    )
    return "Name the city.", text, city

"""The first prompts of a job as the engine gets them, with what may come behind: for `plan --show`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

import pyarrow as pa
from rich.text import Text

from pipeline.errors import shown
from pipeline.preflight.job import Job
from pipeline.row_requests import Asked
from pipeline.text.shown_tokens import ShownToken, bordered, named_tokens, shown_tokens, visible

_MOST_ANSWERS = 8


@dataclass(frozen=True)
class ShownPrompt:
    file: str
    row: int
    tokens: list[ShownToken]  # as the engine gets them
    replaced: list[ShownToken]  # the prompt's last ones, if answers begin within its last word
    answers: dict[str, list[ShownToken]]  # that are scored behind them, by name
    ends: str  # what ends an answer
    called: str = "choices"  # what the answers are
    name: str = ""  # of one of the row's several prompts
    shared: int = 0  # and how many of its tokens the others have too

    def lines(self, width: int, before: "ShownPrompt | None" = None) -> Iterator[Text]:
        """For a terminal of so many columns; answers that the prompt before had are not told again."""
        where = f"{shown(self.file)}, row {self.row}"
        if self.name:
            length = f"{len(self.tokens):,} tokens, of which all questions share {self.shared:,}"
            yield Text(f"prompt of {where}, question {self.name}: {length}", "bold")
        else:
            yield Text(f"prompt of {where}: {len(self.tokens):,} tokens", "bold")
        yield from bordered(self.tokens, width)
        if not self.answers:
            if self.ends:
                yield Text(f"  its answer ends {self.ends}")
            return
        place = f"in place of its last {_written(self.replaced)}" if self.replaced else "behind it"
        if before is not None and self.answers == before.answers:
            yield Text(f"  {self.called} {place}: as above")
            return
        ends = f"; each ends {self.ends}" if self.ends else ""
        yield Text(f"  {self.called} {place}{ends}:")
        for name, tokens in islice(self.answers.items(), _MOST_ANSWERS):
            first, *further = bordered(tokens, width, "      ")
            yield Text.assemble(f"    {visible(name).replace('▁', ' ')}: ", first[6:])
            yield from further
        if len(self.answers) > _MOST_ANSWERS:
            yield Text(f"    … {len(self.answers) - _MOST_ANSWERS:,} more …", "italic")


def show_prompts(job: Job, prepared: Iterable[pa.Table], count: int) -> list[ShownPrompt]:
    """The prompts of the first `count` prepared rows that have any."""
    rows = islice(_with_prompts(prepared), count)
    return [
        _show(job, row, asked)
        for row in rows
        for asked in job.requests.asked_of_each(row["prompt_token_ids"], row["params"])
    ]


def _with_prompts(prepared: Iterable[pa.Table]) -> Iterator[dict[str, Any]]:
    for table in prepared:
        for batch in table.to_batches(100):
            yield from (row for row in batch.to_pylist() if row["prompt_token_ids"] is not None)


def _show(job: Job, row: dict[str, Any], asked: Asked) -> ShownPrompt:
    tokenizer = job.prompt_format.tokenizer if job.prompt_format else None
    given = row["prompt_token_ids"] if asked.given is None else asked.given
    pairs = zip(given, asked.prompt_token_ids, strict=False)
    kept = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    end_ids = {*asked.stop_token_ids, *(job.model.eos_token_ids if asked.at_end_ids else ())}
    return ShownPrompt(
        file=row["file"],
        row=row["row"],
        tokens=shown_tokens(asked.prompt_token_ids, tokenizer),
        replaced=shown_tokens(given[kept:], tokenizer),
        answers={name: shown_tokens(ids, tokenizer) for name, ids in asked.answers.items()},
        ends=_alternatives([f"at {named_tokens(end_ids, tokenizer)}"] if end_ids else [], asked.ends),
        called=asked.called,
        name=asked.name,
        shared=asked.shared,
    )


def _alternatives(*parts: Sequence[str]) -> str:
    *others, last = [one for part in parts for one in part] or [""]
    return f"{', '.join(others)} or {last}" if others else last


def _written(tokens: Sequence[ShownToken]) -> str:
    return "".join(f"{token.marked}│" for token in tokens)

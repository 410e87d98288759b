"""The first prompts of a job as the engine gets them, with what may come behind: for `plan --show`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

import pyarrow as pa
from rich.text import Text

from pipeline.errors import shown
from pipeline.preflight.job import Job
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

    def lines(self, width: int, before: "ShownPrompt | None" = None) -> Iterator[Text]:
        """For a terminal of so many columns; answers that the prompt before had are not told again."""
        yield Text(f"prompt of {shown(self.file)}, row {self.row}: {len(self.tokens):,} tokens", "bold")
        yield from bordered(self.tokens, width)
        if not self.answers:
            if self.ends:
                yield Text(f"  its answer ends {self.ends}")
            return
        place = f"in place of its last {_written(self.replaced)}" if self.replaced else "behind it"
        if before is not None and self.answers == before.answers:
            yield Text(f"  choices {place}: as above")
            return
        yield Text(f"  choices {place}; each ends {self.ends}:")
        for name, tokens in islice(self.answers.items(), _MOST_ANSWERS):
            first, *further = bordered(tokens, width, "      ")
            yield Text.assemble(f"    {visible(name).replace('▁', ' ')}: ", first[6:])
            yield from further
        if len(self.answers) > _MOST_ANSWERS:
            yield Text(f"    … {len(self.answers) - _MOST_ANSWERS:,} more …", "italic")


def show_prompts(job: Job, prepared: Iterable[pa.Table], count: int) -> list[ShownPrompt]:
    """The first `count` prompts among prepared rows."""
    return [_show(job, row) for row in islice(_with_prompts(prepared), count)]


def _with_prompts(prepared: Iterable[pa.Table]) -> Iterator[dict[str, Any]]:
    for table in prepared:
        for batch in table.to_batches(100):
            yield from (row for row in batch.to_pylist() if row["prompt_token_ids"] is not None)


def _show(job: Job, row: dict[str, Any]) -> ShownPrompt:
    tokenizer = job.prompt_format.tokenizer if job.prompt_format else None
    given = row["prompt_token_ids"]
    asked = job.requests.asked(given, row["params"])
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
    )


def _alternatives(*parts: Sequence[str]) -> str:
    *others, last = [one for part in parts for one in part] or [""]
    return f"{', '.join(others)} or {last}" if others else last


def _written(tokens: Sequence[ShownToken]) -> str:
    return "".join(f"{token.marked}│" for token in tokens)

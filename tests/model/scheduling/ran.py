"""The scheduler run without a model: what must hold in each of its steps."""

from model.requests.choice_scores import ChoiceScores
from model.requests.next_token import NextTokenReading
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import Phase
from model.scheduling.prefill_budget import PrefillBudget
from model.scheduling.prefix_tree import Prefix
from model.scheduling.scheduler import Scheduler
from model.scheduling.sequence import Sequence
from model.sliding_window import SlidingWindow

PAGES, PAGE_SIZE = 16, 4
BUDGET = PrefillBudget(most=24, beside=8, context=10**6)
SCORES = ChoiceScores.of([[3, 4], [5]])


def scheduler_of(slots, pages=PAGES, page_size=PAGE_SIZE, budget=BUDGET, window=None):
    return Scheduler(slots, pages, SlidingWindow(window, page_size), budget)


def request(key, prompt, new_tokens, limit=None):
    """Rows end after `new_tokens`, whatever they may generate; without any they are labelled."""
    prompt = [hash(key) % 97 + 1] * prompt if isinstance(prompt, int) else prompt
    if not new_tokens:
        return Request(key, prompt, readout=SCORES)
    return Request(key, prompt, SamplingParams(max_new_tokens=limit or new_tokens, seed=new_tokens))


def add(scheduler, request):
    reading = None
    if request.readout is None:
        reading = NextTokenReading(request.wanted, stream=0, eos_token_ids=())
    scheduler.add(request, reading)


class Ran:
    """What the engine does with steps, without a model, and what must hold in each of them."""

    def __init__(self, scheduler):
        self.scheduler = scheduler
        self.finished, self.begun, self.set_back, self.computed = [], [], 0, 0
        self.pages: dict[int, list[int]] = {}  # what tokens each page holds

    def step(self):
        step = self.scheduler.next_step()
        self.set_back += len(step.set_back)
        seen_prefill, prefilled = False, 0
        for one, row in zip(step.of, step.rows, strict=True):
            assert row.token_ids
            seen_prefill |= row.phase is Phase.PREFILL
            assert not (seen_prefill and row.phase is Phase.DECODE)
            prefilled += row.length if row.phase is Phase.PREFILL else 0
            self.computed += len(row.token_ids)
            self._compute(one, row)
        ended = [
            one for one, row in zip(step.of, step.rows, strict=True) if row.num_read and self._ended(one)
        ]
        for sequence in ended:
            self.scheduler.release(sequence)
            self.finished.append(sequence.request.key)
        taken = [page for one in self.scheduler.running.rows.values() for page in one.own_pages]
        assert len(taken) == len({*taken})
        return step

    def _compute(self, one, row):
        tokens = (
            one.prompt[: one.end] if isinstance(one, Prefix) else [*one.request.prompt_token_ids, *one.fed]
        )
        size, end = self.scheduler.running.window.page_size, row.trunk
        for i in range(row.cached):  # all that it reads is there
            assert self.pages[row.pages[i // size]][i % size] == tokens[i], "a page that others have"
        assert row.token_ids == tokens[row.cached : end]
        if row.is_kept:
            assert len(row.pages) == -(-end // size) or isinstance(one, Prefix) or not one.decodes
            for i in range(row.cached, end):
                self.pages.setdefault(row.pages[i // size], [0] * size)[i % size] = tokens[i]
        if isinstance(one, Sequence) and row.cached in (0, row.shared) and not one.fed:
            self.begun.append(one.request.key)

    def _ended(self, sequence):
        if sequence.request.readout is not None:
            return True
        sequence.reading.next_token = len(sequence.fed)
        sequence.reading.answer.token_ids.append(0)
        return len(sequence.reading.answer.token_ids) == sequence.request.params.seed

    def to_the_end(self):
        while not self.scheduler.idle:
            self.step()
        return self

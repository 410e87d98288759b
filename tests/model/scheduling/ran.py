"""The scheduler run without a model: what must hold in each of its steps."""

from model.requests.choice_scores import ChoiceScores
from model.requests.next_token import NextTokenReading
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import NO_PAGE, Phase
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
        self.finished, self.begun, self.set_back, self.computed, self.most_pages = [], [], 0, 0, 0
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
        for one, row in zip(step.of, step.rows, strict=True):  # written side by side, before any reads
            self._check_what_is_read(one, row, row.trunk if row.is_kept else row.cached)
        ended = [
            one for one, row in zip(step.of, step.rows, strict=True) if row.num_read and self._ended(one)
        ]
        for sequence in ended:
            self.scheduler.release(sequence)
            self.finished.append(sequence.request.key)
        running = self.scheduler.running
        taken = [page for one in running.rows.values() for page in (*one.own_pages, *one.reserve)]
        taken = [page for page in taken if page != NO_PAGE]
        assert len(taken) == len({*taken})
        assert len(taken) + running.prefixes.read + running.prefixes.unread + running.pages.free == (
            running.pages.pages
        )
        self.most_pages = max(self.most_pages, running.pages.pages - running.pages.free)
        return step

    def _compute(self, one, row):
        tokens, size, end = _tokens(one), self.scheduler.running.window.page_size, row.trunk
        self._check_what_is_read(one, row, row.cached)
        assert row.token_ids == tokens[row.cached : end]
        if row.is_kept:
            pages = row.passed + len(row.pages)
            assert pages == -(-end // size) or isinstance(one, Prefix) or not one.decodes
            for i in range(row.cached, end):
                page = row.pages[i // size - row.passed]
                if page != NO_PAGE:
                    self.pages.setdefault(page, [0] * size)[i % size] = tokens[i]
        if isinstance(one, Sequence) and row.cached in (0, row.shared) and not one.fed:
            self.begun.append(one.request.key)

    def _check_what_is_read(self, one, row, end):
        """Cached tokens that the first new one sees; of those up to `end`, what the next one will see."""
        window, tokens = self.scheduler.running.window, _tokens(one)
        seen = {
            *range(window.first_seen(row.cached + 1), row.cached),
            *range(window.first_seen(end + 1), end),
        }
        for i in seen:
            page = row.pages[i // window.page_size - row.passed]
            assert self.pages[page][i % window.page_size] == tokens[i], "a page that others have"

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


def _tokens(one):
    return one.prompt[: one.end] if isinstance(one, Prefix) else [*one.request.prompt_token_ids, *one.fed]

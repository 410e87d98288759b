"""Whether an output folder holds what jobs wrote there: every file that can tell is checked.

Parts are read once, a few at a time, and what a job makes of them is made again and compared. So memory grows
with the number of parts only by the path and the hash of each.
"""

from collections.abc import Iterable, Iterator

from pipeline.durable.attempts import FOLDER, marker_path, read_attempts
from pipeline.durable.commit import EMPTY_TABLE, PARTS, is_behind, missing_of, part_path, parts_there
from pipeline.durable.damage import damaged, foreign, naming_damage, naming_unreadable, perhaps_later
from pipeline.durable.first_answers import FIRST_ANSWERS, stored_answers
from pipeline.durable.job_spec import SPEC, read_spec
from pipeline.durable.job_start import plan_number, plan_path
from pipeline.durable.operations import execute
from pipeline.durable.same_machine import MACHINE, stored_machine
from pipeline.durable.success import require_success, success_bytes, success_path
from pipeline.errors import ConfigError, DamagedFile
from pipeline.output.check_part import CheckedPart, check_part, read_or_damaged
from pipeline.output.check_published import check_published
from pipeline.output.committed_parts import in_threads
from pipeline.output.verified import Verified
from pipeline.reporting.check_progress import CheckProgress
from pipeline.reporting.summary import ShardSummary
from pipeline.router.sums import Sums, merge, merge_into
from pipeline.router.tables import from_parquet
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from pipeline.storage.sealed_parquet import whole_sha256
from pipeline.storage.store import Store


def verify(store: Store, found: Verified, progress: CheckProgress) -> None:
    """Check the files of an output folder, and add to `found`, which says so far what an exception ends.

    ConfigError if no job of this version wrote there.
    """
    _check_spec(store, found)
    plans = _read_plans(store, found)
    known = [plan for plan in plans if plan is not None]
    # before the parts are listed: the job may end meanwhile
    ended = [store.exists(success_path(number)) for number in range(len(plans))]
    found.finished = all(ended)
    plan = Plan.join(known)
    left = execute(parts_there(plan), store)
    progress.begin(len(left))
    parts = _Parts(store, found, progress, left)
    router = merge(parts.check(number, one, ended[number]) for number, one in enumerate(plans) if one)
    _check_empty_table(store, found, plans[0], ended[0])
    extended = store.exists(plan_path(len(plans)))  # meanwhile
    parts.check_others(plan, all_known=len(known) == len(plans) and not extended)
    for path, stored in ((MACHINE, stored_machine), (FIRST_ANSWERS, stored_answers)):
        with found.noting(), naming_unreadable(path):
            execute(stored(), store)
    finished = found.finished and not extended
    of_all = finished and found.summable
    found.damage += check_published(
        store, finished, router if of_all else None, parts.summary if of_all else None
    )


def _check_spec(store: Store, found: Verified) -> None:
    if not store.list("_job") and not store.list(PARTS):
        raise ConfigError(
            f"{store.url()}: no job has written there; give what its job file has as output.path"
        )
    with found.noting():
        read_spec(read_or_damaged(store, SPEC))


def _read_plans(store: Store, found: Verified) -> list[Plan | None]:
    """The plan of each plan file in order; None for one that is damaged."""
    numbers = [number for path in store.list("_job") if (number := plan_number(path)) is not None]
    count = max(numbers, default=0) + 1
    while store.exists(success_path(count)):  # it tells of a plan file that is lost
        count += 1
    plans: list[Plan | None] = [None] * count
    for number in range(count):
        with found.noting(summed=True):
            data = read_or_damaged(store, plan_path(number))
            with naming_damage(plan_path(number)):
                plans[number] = Plan.from_parquet(data)
    return plans


def _check_empty_table(store: Store, found: Verified, first: Plan | None, ended: bool) -> None:
    """The table without a row, of a job that began without rows."""
    needed = ended and first is not None and not first.shards
    if needed or store.exists(EMPTY_TABLE):
        with found.noting():
            data = read_or_damaged(store, EMPTY_TABLE)
            with naming_damage(EMPTY_TABLE):
                whole_sha256(data)


class _Parts:
    """Checks the parts of one plan file after the other, and takes them from `left`."""

    def __init__(self, store: Store, found: Verified, progress: CheckProgress, left: set[str]) -> None:
        self._store, self._found, self._progress, self._left = store, found, progress, left
        self.summary = ShardSummary.total(())  # of the parts that are whole

    def check(self, number: int, plan: Plan, ended: bool) -> Sums:
        """The sums over the router tables of a plan file's parts; `ended`: it has its _SUCCESS."""
        missing = missing_of(plan, self._left)
        there = (shard for shard in plan.shards if part_path(shard) in self._left)
        hashes: dict[str, str] = {}
        router: Sums = {}
        summary = ShardSummary.total(self._summaries(there, hashes, router))
        self.summary = ShardSummary.total([self.summary, summary])
        self._found.to_do += len(missing)
        if not ended:
            self._check_markers(missing)
            return router
        path = success_path(number)
        for shard in missing:
            self._found.note(damaged(part_path(shard), f"it is missing, and {path} names it"), summed=True)
        with self._found.noting():
            stored = read_or_damaged(self._store, path)
            require_success(path, stored, plan.shards, hashes)
            if len(hashes) == len(plan.shards):
                expected = success_bytes(plan.shards, {"rows_by_status": summary.rows_by_status}, hashes)
                if stored != expected:
                    raise damaged(path, "it is not what the parts that are there add up to")
        return router

    def check_others(self, plan: Plan, all_known: bool) -> None:
        """The parts that no plan file names; if one of those is not known, they may be its parts."""
        paths = sorted(self._left)
        if all_known:
            lost = plan_path(plan.plan_files)
            for path in paths:
                behind = is_behind(plan, path)
                self._found.note(perhaps_later(path, lost) if behind else foreign(path), summed=behind)
            return
        for _, part in self._checked((path, None) for path in paths):
            if isinstance(part, DamagedFile):
                self._found.damage.append(part)

    def _summaries(
        self, shards: Iterable[Shard], hashes: dict[str, str], router: Sums
    ) -> Iterator[ShardSummary]:
        """Of each part that is whole; its hash and its router's sums are added to those given."""
        for path, part in self._checked((part_path(shard), shard) for shard in shards):
            self._left.remove(path)
            if isinstance(part, DamagedFile):
                self._found.note(part, summed=True)
                continue
            self._found.parts += 1
            self._found.rows += part.summary.rows
            self._found.size += part.size
            hashes[path] = part.sha256
            if part.router is not None:
                merge_into(router, from_parquet(part.router))
            yield part.summary

    def _checked(
        self, parts: Iterable[tuple[str, Shard | None]]
    ) -> Iterator[tuple[str, CheckedPart | DamagedFile]]:
        def check(part: tuple[str, Shard | None]) -> tuple[str, CheckedPart | DamagedFile]:
            path, shard = part
            try:
                return path, check_part(self._store, path, shard)
            except DamagedFile as one:
                return path, one

        for path, part in in_threads(check, parts):
            self._progress.add(0 if isinstance(part, DamagedFile) else part.size)
            yield path, part

    def _check_markers(self, shards: Iterable[Shard]) -> None:
        """The markers of these shards, as a replica will read them; those of committed ones are not read."""
        markers: dict[str, list[str]] = {}
        for path in self._store.list(FOLDER):
            markers.setdefault(path.rpartition("/")[2].partition("-")[0], []).append(path)

        def check(shard: Shard) -> DamagedFile | None:
            try:
                for path in markers[shard.id]:
                    read_or_damaged(self._store, path)  # it names the one that can't be read
                with naming_unreadable(marker_path(shard, len(markers[shard.id]))):  # a folder is not listed
                    execute(read_attempts(shard), self._store)
            except DamagedFile as one:
                return one
            return None

        self._found.damage += filter(None, in_threads(check, (s for s in shards if s.id in markers)))

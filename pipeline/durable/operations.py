"""The operations that the protocol does on a store, and how its steps are run.

Steps are a generator that yields operations and is sent their results, so that the same steps run on a real
store and in a simulator.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.storage.store import Store


@dataclass(frozen=True)
class Create:
    """Create if absent; the result tells whether this operation created it."""

    path: str
    data: bytes


@dataclass(frozen=True)
class Read:
    """The bytes, or None if there is no such file."""

    path: str


@dataclass(frozen=True)
class List:
    """The paths of the files directly in a folder; see `Store.list`."""

    folder: str
    cuts: tuple[str, ...] = ()


Operation = Create | Read | List
Returned = TypeVar("Returned")
Steps = Generator[Operation, Any, Returned]


def execute(steps: Steps[Returned], store: Store) -> Returned:
    """Run steps on a store and return what they return; exceptions of the store pass through."""
    result: Any = None
    while True:
        try:
            operation = steps.send(result)
        except StopIteration as stop:
            returned: Returned = stop.value
            return returned
        result = apply(operation, store)


def apply(operation: Operation, store: Store) -> Any:
    """The store's result of an operation; exceptions of the store pass through."""
    if isinstance(operation, Create):
        return store.create(operation.path, operation.data)
    if isinstance(operation, List):
        return store.list(operation.folder, operation.cuts)
    try:
        return store.read(operation.path)
    except FileNotFoundError:
        return None


def first_wins(path: str, data: bytes) -> Steps[bytes]:
    """Create `path` and return its content: `data`, or what another process wrote first."""
    if (yield Create(path, data)):
        return data
    stored: bytes = yield Read(path)
    return stored

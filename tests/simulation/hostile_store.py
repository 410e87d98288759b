"""The store of a schedule: strongly consistent, as S3 is.

It applies one operation at a time and remembers what the operation changed. `schedule` decides whether an
answer is lost, and whether a request arrives long after its sender died.
"""

from typing import Any, NamedTuple

from pipeline.durable.operations import Create, List, Read

Operation = Create | Read | List


class Change(NamedTuple):
    path: str
    before: bytes | None  # None: there was no such file


class HostileStore:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.change: Change | None = None  # what the last operation changed

    def apply(self, operation: Operation) -> Any:
        """What the operation answers, as `pipeline.durable.operations.execute` would pass it on."""
        self.change = None
        if isinstance(operation, Read):
            return self.files.get(operation.path)
        if isinstance(operation, List):
            folder = operation.folder + "/"
            return sorted(path for path in self.files if path.startswith(folder))
        return self.create(operation.path, operation.data)

    def create(self, path: str, data: bytes) -> bool:
        if path in self.files:
            return False
        self.write(path, data)
        return True

    def write(self, path: str, data: bytes) -> None:
        self.change = Change(path, self.files.get(path))
        self.files[path] = data

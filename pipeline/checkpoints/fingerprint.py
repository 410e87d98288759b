"""What a checkpoint is: a hash over its configuration and samples of its weights."""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from operator import itemgetter
from pathlib import Path

import orjson

from model.checkpoint.adapter import WEIGHTS
from model.checkpoint.adapter_config import CONFIG
from model.checkpoint.fill import THREADS
from model.checkpoint.safetensors_files import config_files, open_weights, weight_names
from model.checkpoint.weight_folder import LocalFolder, WeightFile, WeightFolder
from pipeline.errors import ConfigError

BLOCK = 64 << 10


def checkpoint_fingerprint(
    folder: str | Path, adapter: str | Path | None = None, weights: WeightFolder | None = None
) -> str:
    """SHA-256 over the configs and, of each weight file, the size, the header and samples of every tensor.

    Files that no run reads, such as a second variant of the weights, don't count.

    A sample is 64 KiB; each tensor gives three: from its start, its middle and its end. A tensor that stacks
    the matrices of all experts gives three of each. So hundreds of gigabytes take a moment.

    Noticed is each change of a config, of the names, types, shapes and places of tensors, of any byte in a
    tensor or matrix of at most 192 KiB, and in the samples of larger ones: so training, even of one tensor, a
    merge, another number type, added tokens. Not noticed is a change that leaves all samples as they are: of
    some rows of an embedding, of single weights, a bit that the disk flipped.

    Of an `adapter` every byte counts. `weights`: where the weights are read, if not in the folder; it is the
    same fingerprint from wherever they are read.
    """
    folder = Path(folder)
    where = weights or LocalFolder(folder)
    configs = config_files(folder)
    digest = hashlib.sha256()
    for name in sorted([*weight_names(folder, where.names), *configs]):
        if name in configs:
            content = (folder / name).read_bytes()
            digest.update(f"{name}|{len(content)}|".encode() + content)
        else:
            with closing(where.open(name)) as weight_file:
                digest.update(f"{name}|{weight_file.size}|".encode())
                for sample in _samples(weight_file):
                    digest.update(sample)
    for name in (CONFIG, WEIGHTS) if adapter else ():
        with open(Path(adapter or "") / name, "rb") as file:
            digest.update(f"{name}|".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _samples(file: WeightFile) -> Iterator[bytes]:
    """The header of a safetensors file, then the samples of each of its tensors."""
    try:
        header = open_weights(file).header  # it is sound, and the tensors fill the file
    except ValueError as error:
        raise ConfigError(f"model.path: {error}; fetch it again, it may be cut short") from error
    yield header
    tensors = [value for name, value in orjson.loads(header[8:]).items() if name != "__metadata__"]
    blocks = (
        (len(header) + begin, size)
        for tensor in sorted(tensors, key=itemgetter("data_offsets"))
        for first, end in [tensor["data_offsets"]]
        for begin, size in _blocks(first, end, tensor["shape"])
    )
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fingerprint")
    try:
        waiting: deque[Future[bytes]] = deque()
        for block in blocks:
            waiting.append(pool.submit(_read, file, *block))
            if len(waiting) > 2 * THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(file: WeightFile, start: int, size: int) -> bytes:
    sample = bytearray(size)
    file.read_into(memoryview(sample), start)
    return bytes(sample)


def _blocks(begin: int, end: int, shape: list[int]) -> Iterator[tuple[int, int]]:
    """(first byte, size) of each sample of a tensor that lies in these bytes.

    A tensor of three dimensions stacks matrices, and each matrix is sampled.
    """
    matrices = shape[0] if len(shape) == 3 else 1
    step = (end - begin) // max(1, matrices)
    size = min(step, BLOCK)
    for first in range(begin, begin + matrices * step, max(1, step)):
        for start in sorted({first, first + (step - size) // 2, first + step - size}):
            yield start, size

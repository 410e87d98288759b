"""Where the weights come from: a local folder as it is, or a URL downloaded once; and what they are.

Only safetensors are read: the pickles that other formats hold can run code.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from model.checkpoint.safetensors_files import open_weights
from pipeline.errors import ConfigError
from pipeline.reading.files import etag
from pipeline.storage.retries import describe, patiently
from pipeline.storage.urls import filesystem, redact

CONFIGS = ("config.json", "params.json")
WANTED = (".safetensors", ".json", ".model", ".jinja", ".v1", ".v2", ".v3")  # weights, configs, tokenizers
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
BLOCK = 64 << 10


def local_checkpoint(path: str) -> Path:
    """The local folder of a checkpoint; an fsspec URL is downloaded once into the user's cache.

    Several processes may ask at once: one downloads, the others wait. The cache is `$MIXTRAY_CACHE`, or
    `mixtray` in the user's cache folder, and holds one folder for each URL and state of its files.
    """
    if "://" not in path or path.startswith("file://"):
        folder = Path(path.removeprefix("file://")).expanduser()
        if not folder.is_dir():
            raise ConfigError(f"model.path: {path}: no such folder")
        _require_checkpoint(path, [entry.name for entry in folder.iterdir() if entry.is_file()])
        return folder
    fs, remote = filesystem(path)
    try:
        entries = [entry for entry in fs.ls(remote, detail=True) if entry["type"] == "file"]
    except FileNotFoundError:
        raise ConfigError(f"model.path: {redact(path)}: no such folder") from None
    except Exception as error:
        raise ConfigError(f"model.path: {redact(path)}: cannot be listed ({describe(error)})") from None
    files = {PurePosixPath(entry["name"]).name: entry for entry in entries}
    _require_checkpoint(path, list(files))
    wanted = {name: entry for name, entry in sorted(files.items()) if name.endswith(WANTED)}
    tags = "".join(f"|{name}|{etag(entry)}" for name, entry in wanted.items())
    key = hashlib.sha256((redact(path) + tags).encode()).hexdigest()[:32]
    cache = Path(os.environ.get("MIXTRAY_CACHE") or _user_cache() / "mixtray") / "checkpoints"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / key
    with _locked(cache / f"{key}.lock"):
        if not target.is_dir():
            _download(fs, wanted, target)
    return target


def checkpoint_fingerprint(folder: str | Path) -> str:
    """SHA-256 over what makes the model what it is: the configs, and of each weight file the size, the
    header and 64 KiB at the start, in the middle and at the end of every tensor (of each expert, where one
    tensor holds them all), so that hundreds of gigabytes take a moment.

    What was trained anew differs there; a change by hand elsewhere is not noticed.
    """
    folder = Path(folder)
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    _require_checkpoint(str(folder), names)
    digest = hashlib.sha256()
    for name in names:
        if name in (*CONFIGS, "generation_config.json") or name.endswith(".safetensors.index.json"):
            content = (folder / name).read_bytes()
            digest.update(f"{name}|{len(content)}|".encode() + content)
        elif name.endswith(".safetensors"):
            digest.update(f"{name}|{(folder / name).stat().st_size}|".encode())
            for sample in _samples(folder / name):
                digest.update(sample)
    return digest.hexdigest()


def _samples(weights: Path) -> Iterator[bytes]:
    """The header of a safetensors file, and some of each of its tensors."""
    try:
        open_weights(weights)  # which makes sure that the header is sound and the tensors fill the file
    except ValueError as error:
        raise ConfigError(f"model.path: {error}; fetch it again, it may be cut short") from error
    with open(weights, "rb") as file:
        length = file.read(8)
        header = file.read(int.from_bytes(length, "little"))
        yield length + header
        tensors = [value for name, value in orjson.loads(header).items() if name != "__metadata__"]
        for tensor in sorted(tensors, key=itemgetter("data_offsets")):
            first, end = tensor["data_offsets"]
            for begin, size in _blocks(first, end, tensor["shape"]):
                file.seek(8 + len(header) + begin)
                yield file.read(size)


def _blocks(begin: int, end: int, shape: list[int]) -> Iterator[tuple[int, int]]:
    """(first byte, size) of what is sampled of a tensor with these bytes; matrices that it stacks, each."""
    matrices = shape[0] if len(shape) == 3 else 1
    step = (end - begin) // max(1, matrices)
    size = min(step, BLOCK)
    for first in range(begin, begin + matrices * step, max(1, step)):
        for start in sorted({first, first + (step - size) // 2, first + step - size}):
            yield start, size


def _require_checkpoint(path: str, names: list[str]) -> None:
    where = f"model.path: {redact(path)}"
    if not any(name in CONFIGS for name in names):
        raise ConfigError(f"{where}: no config.json or params.json in it, so this is no checkpoint's folder")
    if not any(name.endswith(".safetensors") for name in names):
        pickles = [name for name in sorted(names) if name.endswith(PICKLES)]
        found = f" ({', '.join(pickles[:3])} cannot be used: loading them could run code)" if pickles else ""
        raise ConfigError(f"{where}: no *.safetensors in it, and only safetensors are read{found}")


def _download(fs: Any, files: dict[str, dict[str, Any]], target: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        for name, entry in files.items():
            remote, local = entry["name"], str(temporary / name)
            patiently(partial(fs.get_file, remote, local), remote)
            size = (temporary / name).stat().st_size
            if size != entry["size"]:
                raise OSError(f"{name}: {size} bytes came, {entry['size']} were announced")
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # after the rename there is nothing left to remove


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()

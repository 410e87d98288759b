"""The spec of a job as the store keeps it: two runs with equal specs are runs of one job.

`pipeline.preflight.make_spec` makes it of the job file.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pipeline.durable.damage import damaged
from pipeline.errors import ConfigError, shortened
from pipeline.storage import output_folder

SPEC = output_folder.SPEC
FORMAT_VERSION = 5  # of what is written to the output folder; another one cannot be resumed
_DIGEST = "sha256"


def spec_bytes(spec: Mapping[str, Any]) -> bytes:
    """The file `_job/spec.json`, with the spec's digest in it; equal specs give equal bytes."""
    return _json({**spec, _DIGEST: spec_digest(spec)})


def spec_digest(spec: Mapping[str, Any]) -> str:
    """A digest that differs between jobs whose rows may differ."""
    return hashlib.sha256(_json(spec)).hexdigest()


def read_spec(stored: bytes, version: int = FORMAT_VERSION) -> dict[str, Any]:
    """The spec of a file `_job/spec.json`.

    ConfigError if it is of another format than `version`, DamagedFile if it is not what was written.
    """
    try:
        spec: dict[str, Any] = json.loads(stored)
        theirs = int(spec["format_version"])
        sealed = spec.pop(_DIGEST, None) is not None
        whole = isinstance(spec["config"], dict) and spec_bytes(spec) == stored
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise damaged(SPEC, "it is not one of mixtray") from None
    if theirs != version and (whole or not sealed):  # no version before 4 had the digest
        raise _written_by(theirs, version)
    if not whole:
        raise damaged(SPEC, "its bytes are not those that were written")
    return spec


def require_same(stored: bytes, spec: Mapping[str, Any]) -> None:
    """ConfigError that names every difference, if the output folder is that of another job than `spec`.

    DamagedFile if `stored` is not the file of any job.
    """
    if stored == spec_bytes(spec):
        return
    ours = json.loads(_json(spec))
    theirs = read_spec(stored, ours["format_version"])
    differences = []
    before, now = _flat(theirs["config"]), _flat(ours["config"])
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            differences.append(f"{key}: was {_quoted(before.get(key))}, is {_quoted(now.get(key))}")
    differences += _reordered(theirs.get("orders", {}), ours.get("orders", {}))
    for part in ("checkpoint", "tokenizer"):
        if theirs.get(part) != ours[part]:
            differences.append(f"{part}: other content than at the start")
    if differences:
        raise ConfigError(
            "output.path: this folder holds another job (" + "; ".join(differences) + "); "
            "give the job its own output.path, or undo the change to go on with the old one"
        )


def _reordered(before: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> list[str]:
    """What is said of mappings with the same names in another order."""
    differences = []
    for key, names in sorted(before.items()):
        if names != now.get(key) and sorted(names) == sorted(now.get(key, ())):
            place, one, other = next(
                (place, one, other)
                for place, (one, other) in enumerate(zip(names, now[key], strict=True), start=1)
                if one != other
            )
            differences.append(
                f"{key}: its names stand in another order (at place {place} was {_quoted(one)}, "
                f"is {_quoted(other)})"
            )
    return differences


def _json(spec: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(spec), indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _written_by(version: int, ours: int) -> ConfigError:
    age = "an older" if version < ours else "a newer"
    return ConfigError(
        f"output.path: {age} version of mixtray wrote this folder, in format {version}; this one writes "
        f"format {ours} and cannot go on there. Its rows can be read as they are: to finish or extend the "
        "job, use the version that began it; to run it anew, give it another output.path"
    )


def _flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys; keys whose value is None are left out."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[prefix + key] = value
    return flat


def _quoted(value: Any) -> str:
    return "absent" if value is None else shortened(json.dumps(value, ensure_ascii=False))

"""Where a checkpoint lies: a local folder is used in place, a URL is fetched into this machine's cache."""

import re
from pathlib import Path

from pipeline.checkpoints.hub import locate_in_hub
from pipeline.checkpoints.located import Located
from pipeline.checkpoints.remote_folder import locate_remote_folder
from pipeline.config.section import is_url
from pipeline.errors import ConfigError, job_error


def locate(path: str) -> Located:
    """A checkpoint in a folder, at an fsspec URL, or in the Hugging Face hub (hf://org/name[@revision]).

    Of a URL the configuration and the tokenizer are fetched, once for each state of the files. ConfigError if
    there is no such place.
    """
    if path.startswith("hf://"):
        return locate_in_hub(path)
    if is_url(path):
        return locate_remote_folder(path)
    try:
        folder = Path(path.removeprefix("file://")).expanduser()
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else None
    except RuntimeError:
        raise ConfigError(
            f"model.path: {path}: there is no such home folder here: write the whole path"
        ) from None
    except OSError as error:
        raise job_error(error, "model.path") from None
    if names is None:
        hub = f"; in the Hugging Face hub: hf://{path}" if re.fullmatch(r"[\w.-]+/[\w.-]+", path) else ""
        raise ConfigError(f"model.path: {path}: no such folder{hub}")
    folder = folder.resolve()
    return Located(path, str(folder), folder, names, lambda weights: folder)

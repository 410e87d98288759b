"""A checkpoint that was found: its configuration is here, its weights are fetched when they are asked for."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from model.checkpoint.safetensors_files import CONFIG_FILES, MISTRAL_CONFIG_FILES, weight_names
from pipeline.errors import ConfigError

# Patterns of the files that are needed before the weights: configuration and tokenizer.
TOKENIZER_FILES = (
    "tokenizer*", "sentencepiece*.model", "tekken.json", "added_tokens.json", "special_tokens_map.json",
    "chat_template*",
)  # fmt: skip
JUDGING_FILES = (*CONFIG_FILES, *MISTRAL_CONFIG_FILES, *TOKENIZER_FILES)


@dataclass(frozen=True)
class Located:
    path: str  # as messages call it, without credentials
    pinned: str  # by which every machine finds the very same files: an absolute path or a URL
    folder: Path  # holds its configuration and tokenizer, perhaps not its weights
    names: Collection[str]  # of all its files
    fetch: Callable[[Sequence[str]], Path]  # names of weight files -> the folder that holds everything

    def whole(self) -> Path:
        """The local folder with the weights too; those that are needed are fetched now.

        ConfigError, before anything is fetched, if it is no checkpoint that can be run.
        """
        with self.naming():
            weights = weight_names(self.folder, self.names)
        return self.fetch(weights)

    @contextmanager
    def naming(self) -> Iterator[None]:
        """What is wrong with the checkpoint becomes a ConfigError that calls it what the job calls it."""
        try:
            yield
        except ConfigError as error:
            raise ConfigError(self.named(str(error))) from None
        except (OSError, ValueError) as error:
            raise ConfigError(self.named(f"model: {error}")) from error

    def named(self, text: str) -> str:
        """The text, with the checkpoint's path or URL in place of the folder it lies in."""
        return text.replace(str(self.folder), self.path)


def judging_files(names: Collection[str]) -> list[str]:
    """Those of a checkpoint's files that are needed before its weights."""
    return matching_files(names, JUDGING_FILES)


def matching_files(names: Collection[str], patterns: Sequence[str]) -> list[str]:
    return sorted(name for name in names if any(fnmatch(name, pattern) for pattern in patterns))

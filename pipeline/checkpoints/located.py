"""A checkpoint that was found: its configuration is here, its weights are fetched when they are asked for."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from model.checkpoint.safetensors_files import CONFIG_FILES, MISTRAL_CONFIG_FILES, weight_names
from pipeline.checkpoints.streamed import StreamedWeights
from pipeline.errors import ConfigError

# Patterns of the files that are needed before the weights: configuration and tokenizer.
CONFIGURATION = (*CONFIG_FILES, *MISTRAL_CONFIG_FILES)
JUDGING_FILES = (
    *CONFIGURATION, "tokenizer*", "sentencepiece*.model", "tekken.json", "added_tokens.json",
    "special_tokens_map.json", "chat_template*",
)  # fmt: skip


@dataclass(frozen=True)
class Located:
    path: str  # as messages call it, without credentials
    pinned: str  # by which every machine finds the very same files: an absolute path or a URL
    folder: Path  # holds its configuration and tokenizer, perhaps not its weights
    names: Collection[str]  # of all its files
    fetch: Callable[[Sequence[str]], Path]  # names of weight files -> the folder that holds everything
    stream: Callable[[Sequence[str]], StreamedWeights] | None = None  # the same names; None: it can't

    def whole(self) -> Path:
        """The local folder with the weights too; those that are needed are fetched now.

        ConfigError, before anything is fetched, if it is no checkpoint that can be run.
        """
        return self.fetch(self._weights())

    def streamed(self) -> StreamedWeights:
        """Its weights where they lie, to be read from there; ConfigError as for `whole`."""
        if self.stream is None:
            raise ConfigError(
                f"model.fetch: {self.path}: weights are not streamed from a folder, nor from the hub with "
                "HF_HUB_OFFLINE=1: set it to cache"
            )
        return self.stream(self._weights())

    def _weights(self) -> list[str]:
        with self.naming():
            return weight_names(self.folder, self.names)

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
    return sorted(name for name in names if any(fnmatch(name, pattern) for pattern in JUDGING_FILES))

"""What must lie in a checkpoint's folder: its configuration, and weights as safetensors.

No other format is read: the pickles that the others hold can run code.
"""

from pipeline.errors import ConfigError
from pipeline.storage.urls import redact

CONFIGS = ("config.json", "params.json")
PICKLES = (".bin", ".pt", ".pth", ".ckpt")


def require_checkpoint(path: str, names: list[str]) -> None:
    """ConfigError unless a folder with files of these names is a checkpoint's."""
    where = f"model.path: {redact(path)}"
    if not any(name in CONFIGS for name in names):
        raise ConfigError(f"{where}: no config.json or params.json in it, so this is no checkpoint's folder")
    if not any(name.endswith(".safetensors") for name in names):
        pickles = [name for name in sorted(names) if name.endswith(PICKLES)]
        found = f" ({', '.join(pickles[:3])} cannot be used: loading them could run code)" if pickles else ""
        raise ConfigError(f"{where}: no *.safetensors in it, and only safetensors are read{found}")

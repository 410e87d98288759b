"""How rows were computed: what `Engine.path` told of the engines that ran them, counted and in words."""

import json
from collections.abc import Mapping
from typing import Any

from pipeline.reporting.summary import ShardSummary


def computed(summary: ShardSummary) -> list[dict[str, Any]]:
    """Each path with its number of rows; that of most rows first."""
    counts = sorted(summary.computed.items(), key=lambda item: (-item[1], item[0]))
    return [{"rows": rows, **json.loads(path)} for path, rows in counts]


def path_in_words(path: Mapping[str, Any]) -> str:
    numbers = path["dtype"] if path["quantization"] == "none" else path["quantization"]
    words = f"{numbers} on {path['device']}; attention {path['attention']}, decode {path['decode']}, experts "
    words += f"{path['experts']}, steps {path['steps']}"
    missing = {"no flash attention": path.get("without_flash"), "no graphs": path.get("without_graphs")}
    return words + "".join(f"; {what}: {why}" for what, why in missing.items() if why)

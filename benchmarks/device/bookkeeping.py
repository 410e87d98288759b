"""What a step spends beside the network: routing counts, which are added atomically, and sampling."""

import time
from typing import Any

import torch

from benchmarks.device.setting import Setting, Table
from benchmarks.random_checkpoint import SIZES
from model.config import ModelConfig
from model.machine.to_device import to_device
from model.routing.recorder import RoutingRecorder
from model.routing.token_owners import TokenOwners
from model.sampling.sample import sample
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import Batch, Phase, Row


def measure(setting: Setting) -> Table:
    config = ModelConfig.from_dict(SIZES[setting.size()])
    return [*_routing(setting, config), *_sampling(setting, config)]


def _routing(setting: Setting, config: ModelConfig) -> Table:
    slots = setting.pick(256, 4)
    recorder = RoutingRecorder(config, slots, setting.device)
    loads: dict[str, list[int]] = {
        "one long prompt": [setting.pick(4096, 8)],
        "many short prompts": setting.pick([64] * 64, [2] * 4),
        "every row one token": [1] * slots,
    }
    found: Table = []
    for name, lengths in loads.items():
        rows = [Row(Phase.PREFILL, slot, 0, [5] * length) for slot, length in enumerate(lengths)]
        owners = to_device(TokenOwners.of(Batch.of(rows), recorder.slots), setting.device)
        shape = sum(lengths), config.num_experts
        logits = torch.randn(shape, device=setting.device, dtype=setting.dtype)
        weights, chosen = logits.softmax(-1, dtype=torch.float32).topk(config.num_experts_per_tok)

        def count(observed: tuple[torch.Tensor, ...], owners: TokenOwners[torch.Tensor]) -> None:
            for layer in range(config.num_layers):
                recorder.observe(layer, *observed)
            recorder.end_step(owners)

        observed = logits, chosen, weights
        taken = setting.milliseconds(lambda: count(observed, owners), 8)  # noqa: B023
        found.append({"what": f"routing of {name}", "tokens": sum(lengths), "ms": taken})
    return found


def _sampling(setting: Setting, config: ModelConfig) -> Table:
    rows, times = setting.pick(256, 4), setting.pick(5, 1)
    logits = torch.randn(rows, config.vocab_size, device=setting.device, dtype=setting.dtype)
    ways: dict[str, dict[str, Any]] = {
        "greedy": {},
        "by temperature": {"temperature": 0.7},
        "by top_p": {"temperature": 0.7, "top_p": 0.9},
        "by top_k": {"temperature": 0.7, "top_k": 50},
    }
    found: Table = []
    for name, options in ways.items():
        params = [SamplingParams(**options)] * rows
        sample(logits, params, [*range(rows)], [3] * rows).cpu()
        started = time.perf_counter()
        for _ in range(times):
            sample(logits, params, [*range(rows)], [3] * rows).cpu()
        taken = 1e3 * (time.perf_counter() - started) / times
        found.append({"what": f"sampling {name}, with the host", "tokens": rows, "ms": taken})
    return found

"""The engine: rows in, completions out, with every slot refilled as soon as a row leaves it.

    engine = Engine.load("checkpoint/")
    completions = engine.generate([[1, 733, 16289]], SamplingParams(max_new_tokens=8))

It knows token ids only. `submit` rows at any time, call `step` until `idle`. A step is: the scheduler chooses
rows, the ranks compute them, and what each row wants of the outputs is read. What memory does not suffice for
at once is computed in parts.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from model.attention.flash import FLASH
from model.checkpoint.load import check_checkpoint
from model.checkpoint.weight_folder import WeightFolder
from model.config import ModelConfig
from model.execution.divided_step import run_divided
from model.execution.end_rows import end_rows, take_counts_of_set_back
from model.execution.options import ExecutorOptions
from model.execution.ranks import Ranks
from model.execution.step_size import StepSize
from model.machine.budget import STEP_TOKENS, tokens_beside_decoding
from model.machine.device import machine
from model.requests.choice_scores import ChoiceScores
from model.requests.readout import Head
from model.requests.request import Completion, Request, sharers_together
from model.requests.split_row import SplitRow
from model.sampling.sampling_params import SamplingParams
from model.scheduling.prefill_budget import PrefillBudget
from model.scheduling.scheduler import Scheduler
from model.sliding_window import SlidingWindow

__all__ = ["Completion", "Engine", "Request", "SamplingParams"]


class Engine:
    def __init__(self, ranks: Ranks, config: ModelConfig, options: ExecutorOptions) -> None:
        self.config = config
        self.ranks = ranks
        self.max_batch_rows = options.slots
        self.step_size = StepSize()
        self.cache_tokens = options.pages * options.page_size
        self.hidden_layers = options.hidden_layers
        budget = PrefillBudget.of(config, STEP_TOKENS, tokens_beside_decoding(options.device))
        self.window = SlidingWindow(config.sliding_window, options.page_size)
        shares = not config.rope.depends_on_length
        self.scheduler = Scheduler(options.slots, options.pages, self.window, budget, shares=shares)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        dtype: str = "auto",
        *,
        tensor_parallel: int = 1,
        threads: int | None = None,
        max_batch_rows: int | None = None,
        kv_cache_tokens: int | None = None,
        quantization: str = "none",
        attention: str = "auto",
        statistics: bool = True,
        end_ids: Collection[int] = (),
        random_weights: bool = False,
        device: str = "auto",
        least_cache_tokens: int = 1,
        adapter: str | Path | None = None,
        weights: WeightFolder | None = None,
        hidden_layers: Sequence[int] = (),
    ) -> "Engine":
        """Load a checkpoint folder.

        Args:
            dtype: float32, bfloat16, float16, or auto: see `model.machine.device.auto_dtype`.
            threads: CPU threads of each rank; None: torch's default, shared among the ranks.
            max_batch_rows: rows that decode together; None: 128 on a CPU, 256 on a GPU.
            kv_cache_tokens: tokens that the cache holds; None: what memory allows.
            quantization: none; int4 or nf4; or int8 on a CPU: see `model.checkpoint.held_weights`
                and `model.linear.int8`.
            attention: auto, sdpa or flash: see `model.attention.flash.wants_flash`.
            end_ids: tokens that end an answer, beside those that the checkpoint's configuration names.
            random_weights: for benchmarks: config.json is read, and weights are drawn where they are used.
            device: gpu, cpu, or auto: a GPU where torch sees one.
            least_cache_tokens: what the longest row may need of the cache.
            adapter: the folder of a LoRA adapter that is merged into the checkpoint.
            weights: where its weights are read; None: in `folder`, as its configuration is.
            hidden_layers: whose hidden states `LayerStates` reads, as transformers numbers them, ascending.

        Raises:
            FileNotFoundError, ValueError: see `model.checkpoint.load.load_transformer`.
            ValueError: torch can't use as many GPUs as are asked for, or memory does not suffice; before
                weights are loaded.
        """
        numbers = {"threads": threads, "max_batch_rows": max_batch_rows, "kv_cache_tokens": kv_cache_tokens}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        config = (
            ModelConfig.from_folder(folder)
            if random_weights
            else check_checkpoint(folder, tensor_parallel, adapter, weights)
        )
        config = replace(config, eos_token_ids=tuple(sorted({*config.eos_token_ids, *end_ids})))
        options = ExecutorOptions.of(
            folder,
            config,
            dtype=dtype,
            tensor_parallel=tensor_parallel,
            quantization=quantization,
            attention=attention,
            statistics=statistics,
            random_weights=random_weights,
            device=device,
            least_cache_tokens=least_cache_tokens,
            adapter=adapter,
            weights=weights,
            hidden_layers=tuple(hidden_layers),
            **numbers,
        )
        return cls(Ranks(options, tensor_parallel), config, options)

    def submit(self, request: Request) -> None:
        """Queue a row; ValueError if no empty engine of this size could run it."""
        self._check(request)
        self._add(request)

    @property
    def idle(self) -> bool:
        return self.scheduler.idle

    @property
    def path(self) -> dict[str, str]:
        """How this engine computes: see `model.execution.computing_path`."""
        return self.ranks.local.path

    @property
    def machine(self) -> dict[str, str]:
        """What the results depend on to the last bit, beside the checkpoint, the options and the batches."""
        executor = self.ranks.local
        cache, path = executor.cache, self.path
        attention = FLASH if cache.fused else path["decode"]
        return machine(executor.device, cache.keys[0].dtype, attention, path["experts"])

    def step(self) -> list[Completion]:
        """Decode one token of every running row, and compute prompts beside them."""
        recorder = self.ranks.local.routing
        step = self.scheduler.next_step()
        take_counts_of_set_back(step, recorder)
        ended = run_divided(self.ranks, self.step_size, step.of, step.rows)
        return end_rows(self.scheduler, recorder, step, ended)

    def generate(self, prompts: list[list[int]], params: SamplingParams | None = None) -> list[Completion]:
        """Continue every prompt, all with the same parameters; completions in the order of the prompts."""
        params = params or SamplingParams()
        return self.run([Request(str(i), prompt, params) for i, prompt in enumerate(prompts)])

    def score(
        self, prompts: list[list[int]], choices: list[list[int]], end_ids: Collection[int] = ()
    ) -> list[Completion]:
        """The log-probability of every choice behind every prompt, from one forward pass a prompt.

        With `end_ids`: that of the choice and, right behind it, one of these.
        """
        scores = ChoiceScores.of(choices, end_ids)
        return self.run([Request(str(i), prompt, readout=scores) for i, prompt in enumerate(prompts)])

    def run(self, requests: list[Request]) -> list[Completion]:
        """Run requests with distinct keys to their end; completions in the order of the requests.

        ValueError if any of them can't run; then none is queued.
        """
        if len({request.key for request in requests}) != len(requests):
            raise ValueError("requests that run together must have keys that differ")
        for request in requests:
            self._check(request)
        for request in sharers_together(requests):
            self._add(request)
        done: dict[str, Completion] = {}
        while not self.idle:
            done.update((completion.key, completion) for completion in self.step())
        return [done[request.key] for request in requests]

    def close(self) -> None:
        self.ranks.close()

    def _check(self, request: Request) -> None:
        for part in [request] if request.is_one_pass else SplitRow(request).requests:
            part.check(self.config, self.cache_tokens, self.window)
        if request.wanted.head is Head.LAYERS and not self.hidden_layers:
            raise ValueError("hidden states of layers need an engine that was loaded with hidden_layers")

    def _add(self, request: Request) -> None:
        if request.is_one_pass:
            self.scheduler.add(request, request.wanted.start(request.random_stream, self.config))
            return
        whole = SplitRow(request)
        for i, part in enumerate(whole.requests):
            self.scheduler.add(part, part.wanted.start(part.random_stream, self.config), (whole, i))

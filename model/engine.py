"""The engine: rows in, completions out, with every slot refilled as soon as a row leaves it.

    engine = Engine.load("checkpoint/")
    completions = engine.generate([[1, 733, 16289]], SamplingParams(max_new_tokens=8))

It knows token ids only. `submit` rows at any time, call `step` until `idle`.
"""

from pathlib import Path

import torch
from torch import Tensor

from model.attention.flash import FLASH
from model.checkpoint.load import check_checkpoint
from model.config import ModelConfig
from model.execution.executor import BatchTooLargeError, ExecutorOptions
from model.execution.ranks import Ranks
from model.machine.budget import batch_rows, cache_tokens, compute_dtype, default_device, machine, page_size
from model.requests.choice_tree import ChoiceTree
from model.requests.request import Completion, Request
from model.routing.token_owners import PREFIX_SLOT
from model.sampling.sample import sample
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import Batch, Phase, Row
from model.scheduling.scheduler import Scheduler, Sequence

_PREFILL_TOKENS = 4096


class Engine:
    def __init__(self, ranks: Ranks, config: ModelConfig, options: ExecutorOptions) -> None:
        self.config = config
        self.ranks = ranks
        self.max_batch_rows = self._most_rows = options.slots
        self.cache_tokens = options.pages * options.page_size
        self.scheduler = Scheduler(options.slots, options.pages, options.page_size, _PREFILL_TOKENS)

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
        random_weights: bool = False,
    ) -> "Engine":
        """Load a checkpoint folder.

        Args:
            dtype: float32, bfloat16, float16, or auto: the checkpoint's on a GPU, float32 on a CPU.
            threads: CPU threads of each rank; None: torch's default, shared among the ranks.
            max_batch_rows: rows that decode together; None: 128 on a CPU, 256 on a GPU.
            kv_cache_tokens: places in the cache; None: what memory allows.
            quantization: none, or int8 on a CPU: see `model.linear.linear.int8`.
            attention: auto, sdpa or flash: see `model.attention.flash.wants_flash`.
            random_weights: for benchmarks: config.json is read, and weights are drawn where they are used.

        Raises:
            FileNotFoundError, ValueError: see `model.checkpoint.load.load_transformer`.
        """
        numbers = {"threads": threads, "max_batch_rows": max_batch_rows, "kv_cache_tokens": kv_cache_tokens}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        config = (
            ModelConfig.from_folder(folder) if random_weights else check_checkpoint(folder, tensor_parallel)
        )
        device = default_device()
        slots = max_batch_rows or batch_rows(device)
        torch_dtype = compute_dtype(dtype, config, device)
        tokens = kv_cache_tokens or cache_tokens(config, slots, torch_dtype, device, tensor_parallel)
        size = page_size(device)
        options = ExecutorOptions(
            folder=Path(folder),
            dtype=torch_dtype,
            device=device,
            threads=threads or max(1, torch.get_num_threads() // tensor_parallel),
            slots=slots,
            pages=-(-tokens // size),
            page_size=size,
            quantization=quantization,
            attention=attention,
            statistics=statistics,
            random_weights=random_weights,
        )
        return cls(Ranks(options, tensor_parallel), config, options)

    def share_prefix(self, token_ids: list[int]) -> None:
        """Compute now what prompts of later rows begin with; those that do so attend to it without more ado.

        Any rows may follow: the others are computed whole, and so are all where the model has a sliding
        window. The engine must be idle. An earlier prefix is forgotten.
        """
        assert self.idle, "rows that run may have the earlier prefix"
        self.scheduler.prefix = []
        if not token_ids or self.config.sliding_window is not None:
            return
        Request("prefix", token_ids, SamplingParams(max_new_tokens=1)).check(self.config, self.cache_tokens)
        row = Row(Phase.PREFILL, PREFIX_SLOT, 0, token_ids)
        self.ranks.forward(Batch.of([row], becomes_prefix=True))
        self.scheduler.prefix = token_ids

    def submit(self, request: Request) -> None:
        """Queue a row; ValueError if no empty engine of this size could run it."""
        request.check(self.config, self.cache_tokens)
        self.scheduler.add(request)

    @property
    def idle(self) -> bool:
        return self.scheduler.idle

    @property
    def machine(self) -> dict[str, str]:
        """What the bits of its results depend on, beside the checkpoint, the options and the batches."""
        executor = self.ranks.local
        cache = executor.cache
        return machine(executor.device, cache.keys[0].dtype, FLASH if cache.fused else "plain")

    def step(self) -> list[Completion]:
        """Decode one token of every running row, and prefill waiting rows that fit beside them."""
        decoding, admitted = self.scheduler.next_step()
        if not decoding and not admitted:
            return []
        rows = [
            *(sequence.next_token() for sequence in decoding),
            *(sequence.prompt() for sequence in admitted),
        ]
        return self._run_rows(decoding + admitted, rows)

    def generate(self, prompts: list[list[int]], params: SamplingParams | None = None) -> list[Completion]:
        """Continue every prompt, all with the same parameters; completions in the order of the prompts."""
        params = params or SamplingParams()
        return self.run([Request(str(i), prompt, params) for i, prompt in enumerate(prompts)])

    def score(self, prompts: list[list[int]], choices: list[list[int]]) -> list[Completion]:
        """The log-probability of every choice behind every prompt, from one forward pass a prompt."""
        tree = ChoiceTree.from_choices(choices)
        return self.run([Request(str(i), prompt, choices=tree) for i, prompt in enumerate(prompts)])

    def run(self, requests: list[Request]) -> list[Completion]:
        """Run requests with distinct keys to their end; completions in the order of the requests.

        ValueError if any of them can't run; then none is queued.
        """
        if len({request.key for request in requests}) != len(requests):
            raise ValueError("requests that run together must have keys that differ")
        for request in requests:
            request.check(self.config, self.cache_tokens)
        for request in requests:
            self.scheduler.add(request)
        done: dict[str, Completion] = {}
        while not self.idle:
            done.update((completion.key, completion) for completion in self.step())
        return [done[request.key] for request in requests]

    def close(self) -> None:
        self.ranks.close()

    def _run_rows(self, sequences: list[Sequence], rows: list[Row]) -> list[Completion]:
        """All at once or, where memory does not suffice for that, in halves; later steps begin with those."""
        if len(rows) <= self._most_rows:
            try:
                logits = self.ranks.forward(Batch.of(rows))
            except BatchTooLargeError:
                self._most_rows = max(1, len(rows) // 2)
            else:
                return self._finish_step(sequences, rows, logits)
            if len(rows) == 1:  # it was the row, not how many there were
                self._most_rows = self.max_batch_rows
                return [self._finish(sequences[0], None, out_of_memory=True)]
        half = len(rows) // 2
        return self._run_rows(sequences[:half], rows[:half]) + self._run_rows(sequences[half:], rows[half:])

    def _finish_step(
        self, sequences: list[Sequence], rows: list[Row], logits: Tensor
    ) -> list[Completion]:  # logits [M, V]
        finite = logits.sum(-1, dtype=torch.float32).isfinite().tolist()
        generating, completions, at = [], [], 0
        for sequence, row in zip(sequences, rows, strict=True):
            sequence.cached += len(row.token_ids)
            predictions = slice(at, at + 1 + len(row.tree.token_ids))
            at = predictions.stop
            if not all(finite[predictions]):
                completions.append(self._finish(sequence, None, nan_logits=True))
            elif sequence.request.choices is not None:
                scores = sequence.request.choices.logprobs(logits[predictions])
                completions.append(self._finish(sequence, None, scores))
            else:
                generating.append((sequence, predictions.start))
        if generating:
            if len(generating) < len(logits):
                logits = logits[[i for _, i in generating]]
            completions += self._append_tokens([sequence for sequence, _ in generating], logits)
        return completions

    def _append_tokens(self, sequences: list[Sequence], logits: Tensor) -> list[Completion]:
        tokens, logprobs = sample(
            logits,
            [sequence.request.params for sequence in sequences],
            [sequence.stream for sequence in sequences],
            [len(sequence.token_ids) for sequence in sequences],
        )
        completions = []
        for i, (sequence, token) in enumerate(zip(sequences, tokens, strict=True)):
            sequence.token_ids.append(token)
            if logprobs is not None:
                sequence.logprobs.append(logprobs[i])
            reason = self._finish_reason(sequence, token)
            if reason:
                completions.append(self._finish(sequence, reason))
        return completions

    def _finish_reason(self, sequence: Sequence, token: int) -> str | None:
        request = sequence.request
        if token in self.config.eos_token_ids and not request.params.ignore_eos:
            return "stop"
        if request.should_stop is not None and request.should_stop(token):
            return "stop"
        return "length" if len(sequence.token_ids) == request.params.max_new_tokens else None

    def _finish(
        self,
        sequence: Sequence,
        reason: str | None,
        choice_logprobs: list[float] | None = None,
        nan_logits: bool = False,
        out_of_memory: bool = False,
    ) -> Completion:
        self.scheduler.release(sequence)
        routing = self.ranks.local.routing
        return Completion(
            key=sequence.request.key,
            token_ids=sequence.token_ids,
            logprobs=sequence.logprobs if sequence.request.params.logprobs else None,
            finish_reason=reason,
            choice_logprobs=choice_logprobs,
            routing=routing.take(sequence.slot, bool(sequence.prefix)) if routing else None,
            nan_logits=nan_logits,
            out_of_memory=out_of_memory,
        )

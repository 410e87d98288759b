"""Runs steps on one rank: the network, its cache and the routing counters.

With tensor parallelism every rank has an executor and runs the same steps in the same order; see
`model.execution.ranks`.
"""

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from model.attention.decode_cpu import CpuDecode
from model.attention.flash import wants_flash
from model.attention.kv_cache import KVCache
from model.checkpoint.held_weights import HELD
from model.checkpoint.load import load_transformer, random_transformer
from model.config import ModelConfig
from model.execution.computing_path import computing_path
from model.execution.decode_graphs import DecodeGraphs
from model.execution.options import ExecutorOptions
from model.execution.step_table import StepTable
from model.execution.token_logprobs import token_logprobs
from model.kernels.choose import kernels_for
from model.linear.choose import layout_for
from model.linear.panels import compiled_for
from model.machine.process_memory import keep_freed_memory
from model.machine.to_device import to_device
from model.network.tensor_parallel import TensorParallel
from model.requests.readout import Head
from model.routing.recorder import RoutingRecorder
from model.routing.token_owners import TokenOwners
from model.scheduling.batch import Batch
from model.trained_head import HeadKind


class BatchTooLargeError(Exception):
    """The device's memory does not suffice for the step."""


class Executor:
    def __init__(self, options: ExecutorOptions, tp: TensorParallel) -> None:
        torch.set_num_threads(options.threads)
        keep_freed_memory()
        self.device, self.size = options.device, tp.size
        config = ModelConfig.from_folder(options.folder)
        layout = layout_for(options.dtype, options.device, options.quantization)
        if options.random_weights and options.quantization in HELD:
            raise ValueError(
                f"quantization {options.quantization} is of a checkpoint's weights, not of random ones"
            )
        fused = wants_flash(options.attention, options.device, options.dtype, config.head_dim)
        self.model = (
            random_transformer(options.folder, options.dtype, options.device, tp)
            if options.random_weights
            else load_transformer(
                options.folder,
                options.dtype,
                options.device,
                tp,
                options.adapter,
                options.quantization,
                options.weights,
            )
        )
        if self.model.is_laid_out:
            layout = None
        elif layout is not None:
            self.model.lay_out(layout)
        self.model.kernels = kernels_for(options.device, options.dtype, fused)
        language = self.model.config.trained.kind is HeadKind.LANGUAGE
        self.heads: dict[Head, Callable[[Tensor], Tensor]] = {
            Head.VOCABULARY if language else Head.LABELS: lambda hidden: self.model.head(hidden),
            Head.HIDDEN: lambda hidden: hidden,
        }
        self.hidden_layers = options.hidden_layers
        compiled = options.device.type == "cpu" and not fused and CpuDecode.is_compiled()
        self.cache = KVCache(
            config, options.pages, options.page_size, tp, options.dtype, options.device, fused, compiled
        )
        self.routing = None
        if options.statistics and config.num_experts and tp.rank == 0:
            self.routing = RoutingRecorder(config, options.counters, options.device)
        self.graphs = None
        if fused and self.model.is_sync_free and not config.rope.depends_on_length:
            self.graphs = DecodeGraphs(self.model, self.cache, self.routing)
        self.path = computing_path(
            config,
            options.device,
            options.dtype,
            quantization=options.quantization,
            attention=options.attention,
            fused=fused,
            captured=self.graphs is not None,
            grouped=self.model.is_sync_free,
            decodes_compiled=compiled,
            experts_compiled=compiled_for(layout, options.dtype),
        )

    @torch.inference_mode()
    def forward(self, batch: Batch) -> dict[Head, Tensor]:
        """Compute the batch's tokens -> each head's outputs [M, ...] of the tokens `batch.reads(head)`.

        BatchTooLargeError if the device's memory doesn't suffice: nothing is counted, and a smaller batch
        may be tried. With several ranks the error of torch ends the replica instead: the other ranks already
        wait for this one in a collective.
        """
        try:
            if self.graphs and batch.decodes and batch.heads == [Head.VOCABULARY]:
                return {Head.VOCABULARY: self.graphs.logits(batch.rows)}
            slots = self.routing.slots if self.routing else None
            prepared = StepTable.of(batch, self.cache, slots, self.model.config.rope.depends_on_length)
            outputs, owners = self._outputs(prepared)
        except torch.OutOfMemoryError as error:
            if self.size > 1:
                raise
            if self.routing:
                self.routing.forget_step()
            raise BatchTooLargeError from error
        if self.routing and owners:
            self.routing.end_step(owners)
        return outputs

    def _keep_layers(self, states: list[Tensor], read: Tensor) -> Callable[[int, Tensor], None]:
        """Adds the hidden states [M, D] of the tokens that are read to `states`, layer by layer."""

        def show(layer: int, x: Tensor) -> None:
            if layer in self.hidden_layers:
                states.append(x[read])

        return show

    def close(self) -> None:
        """Forget captured steps, which refer to the ranks' communicator."""
        if self.graphs:
            self.graphs.forget()

    def _outputs(
        self, prepared: StepTable[NDArray[Any]]
    ) -> tuple[dict[Head, Tensor], TokenOwners[Tensor] | None]:
        # torch sets the number of CPU threads for each calling thread late: without this call, the first sums
        # of a thread would use another number.
        torch.get_num_threads()
        table: StepTable[Tensor] = to_device(prepared, self.device)
        observe = self.routing.observe if self.routing else None
        states: list[Tensor] = []
        show = self._keep_layers(states, table.reads[Head.LAYERS]) if Head.LAYERS in table.reads else None
        x = self.model.hidden(table.token_ids, table.positions, table.attend, observe, table.lengths, show)
        outputs = {
            head: self.heads[head](x[read]) for head, read in table.reads.items() if head in self.heads
        }
        if states:
            outputs[Head.LAYERS] = torch.stack(states, dim=1)
        if prepared.asked is not None and table.asked is not None:
            outputs[Head.LOGPROBS] = token_logprobs(
                self.heads[Head.VOCABULARY],
                x[table.reads[Head.LOGPROBS]],
                prepared.asked,
                table.asked,
                self.model.config.vocab_size,
            )
        return outputs, table.owners

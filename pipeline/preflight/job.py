"""Everything of a job that can be checked before weights are loaded or a byte is written."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from model.checkpoint.load import check_checkpoint, check_config
from model.checkpoint.safetensors_files import weight_names
from model.config import ModelConfig
from model.machine.budget import row_tokens
from pipeline.checkpoints.fingerprint import checkpoint_fingerprint
from pipeline.checkpoints.location import locate
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.apart import require_apart
from pipeline.preflight.fit_task import closing_token, fit_task
from pipeline.preflight.fixed_sizes import with_cache_for_prefixes, with_fixed_sizes
from pipeline.preflight.kept_names import check_kept_names
from pipeline.preflight.make_spec import make_spec
from pipeline.preflight.number_type import with_number_type
from pipeline.row_requests import RowRequests
from pipeline.rows.prepare import Preparation
from pipeline.rows.result_rows import doubled_names
from pipeline.storage.credentials import named, redact_value
from pipeline.task import Task
from pipeline.text.choose_format import choose_format
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.prompts import PromptBuilder
from pipeline.text.rendering_apart import rendering_apart
from pipeline.text.tokenization import Tokenizer


@dataclass(frozen=True)
class Job:
    config: JobConfig
    checkpoint: Path  # on this machine
    checkpoint_anywhere: str  # by which another machine finds the same: an absolute path or a URL
    model: ModelConfig
    task: Task[Any]
    prompt_format: PromptFormat | None  # None: prompts are token ids, and there is no tokenizer
    requests: RowRequests
    preparation: Preparation
    spec: dict[str, object]
    least_cache_tokens: int  # that the longest row may need
    hidden_layers: list[int]  # whose hidden states are written, of a sample of rows


@rendering_apart()
def check_job(config: JobConfig) -> Job:
    """ConfigError if the job's sections don't fit each other, or the checkpoint doesn't fit the job."""
    task = config.make_task()
    _check_names(config, task)
    config = _with_adapter(_with_chat_template(config))
    adapter = config.model.adapter
    located = locate(config.model.path)
    with located.naming():  # before its weights are fetched
        weight_names(located.folder, located.names)
        model = check_config(located.folder, config.model.tensor_parallel, adapter)
        tokenizer = _tokenizer(config, task, located.folder)
        prompt_format = None
        if tokenizer is not None:
            known = [token_id for token_id in model.eos_token_ids if 0 <= token_id < model.vocab_size]
            may_close = task.closed != "never"
            chosen = choose_format(config.input, tokenizer, known, may_close)
            prompt_format = chosen.within(model.vocab_size)
            model = replace(model, eos_token_ids=tuple(sorted(prompt_format.end_ids)))
        _check_token_ids(task, model)
        closing = closing_token(task, prompt_format)
        if task.own_prompts or task.several_prompts:
            prompts = task.prompts(config.input, prompt_format, model.vocab_size)
        else:
            prompts = PromptBuilder(config.input, prompt_format, model.vocab_size, closing)
        task = fit_task(config.task, task.with_prompts(prompts), model, located.path)
        requests = task.requests(prompt_format)
    context = model.max_positions
    longest = requests.longest_prompt(context)
    # The device is known once a replica runs: a GPU's pages are larger.
    needed = max(1, row_tokens(model, requests.cache_tokens(context), torch.device("cuda")))
    config = with_number_type(config, model)
    if requests.cache_tokens(context) == 0:
        config = with_cache_for_prefixes(config)
    config = with_fixed_sizes(config, needed)
    cache = config.engine.kv_cache_tokens
    if isinstance(cache, int) and cache < needed:
        raise ConfigError(
            f"engine.kv_cache_tokens: must hold the longest row there can be ({needed} tokens), got {cache}"
        )
    checkpoint = located.whole()
    with located.naming():
        stored = check_checkpoint(checkpoint, config.model.tensor_parallel, adapter)
        if stored.trained != model.trained:  # config.json does not name the head
            task = fit_task(config.task, task, stored, located.path)
            requests = task.requests(prompt_format)
        model = replace(stored, eos_token_ids=model.eos_token_ids)
        weights = checkpoint_fingerprint(checkpoint, adapter)
    return Job(
        config=config,
        checkpoint=checkpoint,
        checkpoint_anywhere=located.pinned,
        model=model,
        task=task,
        prompt_format=prompt_format,
        requests=requests,
        preparation=Preparation(config, task, prompts, longest_prompt=longest, context=context),
        spec=make_spec(config, weights, tokenizer.fingerprint() if tokenizer else "none"),
        least_cache_tokens=needed,
        hidden_layers=hidden_layers(config, task, model),
    )


def hidden_layers(config: JobConfig, task: Task[Any], model: ModelConfig) -> list[int]:
    """Those of `output.hidden_states`, ascending and counted from 0; ConfigError for one that it lacks."""
    section, most = config.output.hidden_states, model.num_layers
    if section and task.several_prompts:
        raise ConfigError(
            "output.hidden_states: a row of this job has several prompts, and hidden states are of one: "
            "remove it, or write a job with a single prompt"
        )
    layers = section.layers if section else []
    for layer in layers:
        if not -most - 1 <= layer <= most:
            raise ConfigError(
                f"output.hidden_states.layers: a model of {most} layers has 0 to {most}, or {-most - 1} to "
                f"-1, got {layer}"
            )
    return sorted({layer % (most + 1) for layer in layers})


def _check_names(config: JobConfig, task: Task[Any]) -> None:
    if doubled := doubled_names(task):
        raise ConfigError(
            f"task {config.task}: its columns {', '.join(doubled)} are names of other columns of the output; "
            "the package that brings the task must rename them"
        )
    check_kept_names(config, task, config.input.kept_by_name)
    for key, path in (("output.path", config.output.path), *(("input.path", p) for p in config.input.path)):
        if path.startswith("memory://"):
            raise ConfigError(
                f"{key}: memory:// is seen by one process only; use a folder or an object store"
            )
    require_apart(config)


def _check_token_ids(task: Task[Any], model: ModelConfig) -> None:
    for key, token_ids in task.token_ids.items():
        for token_id in token_ids:
            if token_id >= model.vocab_size:
                raise ConfigError(
                    f"{key}: {token_id} is no token of a model of vocab_size {model.vocab_size}"
                )


def _with_chat_template(config: JobConfig) -> JobConfig:
    """The job with the text of `input.chat_template` in place of its file, so that the spec holds it."""
    given = config.input.chat_template
    if given is None or "{{" in given or "{%" in given:
        return config
    try:
        text = Path(given).expanduser().read_text(encoding="utf-8")
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # ValueError: not UTF-8; RuntimeError: no home folder
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"input.chat_template: {redact_value(given)!r} is neither a Jinja template nor a readable file "
            f"({why})"
        ) from None
    return config.model_copy(update={"input": config.input.model_copy(update={"chat_template": text})})


def _with_adapter(config: JobConfig) -> JobConfig:
    """The job with the adapter's folder as replicas find it, who run elsewhere."""
    given = config.model.adapter
    if given is None:
        return config
    if "://" in given:
        raise ConfigError(
            f"model.adapter: {redact_value(given)}: adapters are read from a folder; fetch it to one that "
            "all nodes see"
        )
    folder = Path(given).expanduser().resolve()
    if not folder.is_dir():
        raise ConfigError(f"model.adapter: {named(given)}: no such folder")
    return config.model_copy(update={"model": config.model.model_copy(update={"adapter": str(folder)})})


def _tokenizer(config: JobConfig, task: Task[Any], checkpoint: Path) -> Tokenizer | None:
    """The checkpoint's tokenizer; a job that makes ids from ids can do without one."""
    ids_only = config.input.prompt.token_ids and not task.needs_tokenizer
    try:
        return Tokenizer.load(checkpoint)
    except ConfigError:
        if ids_only:
            return None
        raise

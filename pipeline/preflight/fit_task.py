"""Whether a checkpoint's head can do the job's task, and what the task asks of the prompts' end."""

from typing import Any

from model.config import ModelConfig
from pipeline.errors import ConfigError
from pipeline.registered_tasks import tasks
from pipeline.task import Task
from pipeline.text.prompt_format import PromptFormat


def fit_task(name: str, task: Task[Any], model: ModelConfig, checkpoint: str) -> Task[Any]:
    """The task of that name with the model of a checkpoint, which is so called.

    ConfigError, which says what the checkpoint can do, if its head can't do the task. Where config.json names
    no head, that is known once the weights' names are.
    """
    trained = model.trained
    if trained.stated and trained.kind not in task.heads:
        able = [other for other, kind in tasks().items() if trained.kind in kind.heads]
        raise ConfigError(
            f"task: {name} does not go with {checkpoint}, which is {trained.kind.in_words}; with it go "
            f"{', '.join(able)}"
        )
    return task.for_model(model)


def closing_tokens(task: Task[Any], prompt_format: PromptFormat | None) -> tuple[int, ...]:
    """What stands behind every prompt: of the tokenizer, and the end of the sequence if the task wants it."""
    if prompt_format is None or task.closed == "never":
        return ()
    tokenizer = prompt_format.tokenizer
    plain = not prompt_format.chat and not prompt_format.as_given
    closing = tokenizer.around.behind if plain else ()
    wanted = task.closed == "always" and closing[-1:] != (tokenizer.eos_id,)
    return (*closing, tokenizer.eos_id) if wanted else closing

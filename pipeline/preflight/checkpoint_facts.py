"""What the checkpoint itself decides about a job's prompts and answers, in words."""

import json

from model.checkpoint.safetensors_files import is_mistral_format
from model.config import read_object
from model.trained_head import HeadKind
from pipeline.errors import shortened
from pipeline.preflight.job import Job
from pipeline.text.shown_tokens import named_tokens, visible

# Of generation_config.json: they are used, or change no text.
_OTHER_KEYS = (
    "_from_model_config",
    "transformers_version",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "use_cache",
    "cache_implementation",
)


def checkpoint_facts(job: Job) -> list[tuple[str, str]]:
    """The format of prompts, where it comes from, what ends an answer, and what is not used."""
    form = job.prompt_format
    source = form.source if form else "token ids as they are given, without a tokenizer"
    tokenizer = form.tokenizer if form else None
    trained = job.model.trained.kind
    facts = [] if trained is HeadKind.LANGUAGE else [("head", trained.in_words)]
    facts += [
        ("format", source),
        ("end ids", named_tokens(job.model.eos_token_ids, tokenizer) or "none"),
    ]
    if job.config.model.adapter:
        facts.append(("adapter", f"{visible(job.config.model.adapter)}, merged as the weights are loaded"))
    if job.config.model.fetch == "stream":
        facts.append(("fetch", "stream: each replica reads the weights from the URL into its memory"))
    if is_mistral_format(job.checkpoint):
        facts.append(("weights", "of Mistral's own format (params.json, consolidated*.safetensors)"))
    elif (job.checkpoint / "params.json").is_file():
        facts.append(
            ("weights", "of Hugging Face's format; Mistral's own (params.json) beside it is not read")
        )
    if tokenizer and tokenizer.files.unread:
        read = tokenizer.files.model_path.name
        facts.append(("tokenizer", f"{read}; not read: {visible(tokenizer.files.unread)}"))
    if unused := _unused_settings(job):
        facts.append(
            ("not used", f"{', '.join(unused)} of generation_config.json; the job file alone counts")
        )
    return facts


def _unused_settings(job: Job) -> list[str]:
    path = job.checkpoint / "generation_config.json"
    settings = read_object(path) if path.is_file() else {}
    return [
        f"{visible(shortened(key, 40))} {shortened(json.dumps(value), 40)}"
        for key, value in settings.items()
        if key not in _OTHER_KEYS and value is not None and value is not False
    ]

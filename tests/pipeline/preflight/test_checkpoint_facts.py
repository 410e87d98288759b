"""What a checkpoint decides about prompts and answers is told, and what of it is not used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from pipeline.config.job import JobConfig
from pipeline.preflight.checkpoint_facts import checkpoint_facts
from pipeline.preflight.job import check_job
from tests.conftest import HFCheckpoint
from tests.model.checkpoint.lora_adapter import write_old
from tests.model.checkpoint.mistral_format import write_mistral

MakeConfig = Callable[..., JobConfig]


def facts(config: JobConfig) -> dict[str, str]:
    return dict(checkpoint_facts(check_job(config)))


def test_the_format_its_end_ids_and_what_is_not_used(
    make_config: MakeConfig, published_checkpoint: Callable[[str], Path]
) -> None:
    folder = published_checkpoint("dolphin-2.5-mixtral")
    prompt = {"template": "{{ text }}"}
    config = make_config([{"text": "Hi"}], prompt=prompt, model={"path": str(folder)})
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 2, "bos_token_id": 1}))
    assert facts(config) == {
        "format": "the chat template of tokenizer_config.json",
        "end ids": "</s> (2), <|im_end|> (32000)",
    }
    settings = {
        "do_sample": True,
        "temperature": 0.6,
        "top_k": None,
        "transformers_version": "5.0",
        "x\x1b": 1,
    }
    (folder / "generation_config.json").write_text(json.dumps(settings))
    unused = facts(config)["not used"]
    assert unused == (
        r"do_sample true, temperature 0.6, x\x1b 1 of generation_config.json; the job file alone counts"
    )
    template = "{% for m in messages %}<s>[{{ m.content }}]{% endfor %}"
    given = make_config(
        [{"text": "Hi"}],
        prompt=prompt,
        model={"path": str(folder)},
        input={"chat_template": template},
    )
    assert facts(given)["format"] == "input.chat_template"


def test_which_of_two_formats_is_read_and_which_adapter(
    make_config: MakeConfig, checkpoint: HFCheckpoint, tmp_path: Path
) -> None:
    adapter = write_old(tmp_path / "adapter", sizes=(32, 48, 4))
    model = {"path": str(checkpoint.folder), "adapter": str(adapter)}
    assert "weights" not in facts(make_config([]))
    assert facts(make_config([], model=model))["adapter"] == f"{adapter}, merged as the weights are loaded"
    mistral = write_mistral(checkpoint.folder, tmp_path / "mistral")
    alone = facts(make_config([], model={"path": str(mistral)}))["weights"]
    assert alone == "of Mistral's own format (params.json, consolidated*.safetensors)"
    for file in checkpoint.folder.iterdir():
        shutil.copy(file, mistral)
    both = facts(make_config([], model={"path": str(mistral)}))["weights"]
    assert both == "of Hugging Face's format; Mistral's own (params.json) beside it is not read"


def test_mistrals_formats_and_plain_text_are_named(make_config: MakeConfig) -> None:
    demo = {"path": str(Path(__file__).parents[3] / "configs" / "demo" / "tiny-mixtral")}
    config = make_config([{"text": "Hi"}], prompt={"column": "text"}, model=demo)
    assert facts(config)["format"] == (
        "Mistral's format v1, as the chat template of tokenizer_config.json renders"
    )
    plain = make_config([{"text": "Hi"}], prompt={"column": "text"}, model=demo, input={"chat": False})
    assert facts(plain)["format"] == "plain text, without a chat format"


def test_ids_without_a_tokenizer(
    make_config: MakeConfig, published_checkpoint: Callable[[str], Path]
) -> None:
    folder = published_checkpoint("dolphin-2.5-mixtral")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    config = make_config([{"ids": [5]}], model={"path": str(folder)})
    assert facts(config) == {"format": "token ids as they are given, without a tokenizer", "end ids": "2"}


def test_which_of_several_tokenizers_is_read(
    make_config: MakeConfig, checkpoint: HFCheckpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "both"
    shutil.copytree(checkpoint.folder, folder)
    config = make_config([], model={"path": str(folder)})
    assert "tokenizer" not in facts(config)
    (folder / "tekken.json").write_text("{}")
    assert facts(config)["tokenizer"] == "tokenizer.model; not read: tekken.json"

"""What the first lines of JSONL files tell, and files that hold something else."""

import json
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.reading.files import expand
from pipeline.reading.first_records import batch_file_hint, first_keys, first_records
from pipeline.shards.make_plan import make_plan
from tests.pipeline.reading.inputs import section, write


def test_keys_and_records_have_the_columns_of_folders(tmp_path: Path) -> None:
    write(tmp_path / "lang=de/n=1/a.jsonl", b'{"text": "a"}\nbad\n{"n": 2}\n')
    files = expand(section(str(tmp_path))).files
    assert list(first_keys(files)) == ["text", "n", "lang"]
    assert list(first_records(files[0], 3)) == [
        {"lang": "de", "n": "1", "text": "a"},
        {"lang": "de", "n": 2},
    ]
    assert len(list(first_records(files[0], 2))) == 1


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            b'[{"text": "a"},\n{"text": "b"}]\n',
            "this is a JSON array, not JSON Lines .* jq -c '.\\[\\]' a.json",
        ),
        (
            b'{\n  "text": "a"\n}\n{\n  "text": "b"\n}\n',
            "objects are spread over several lines; .* jq -c . a.json",
        ),
    ],
)
def test_files_of_another_shape_are_told_apart(tmp_path: Path, data: bytes, sentence: str) -> None:
    write(tmp_path / "a.json", data)
    with pytest.raises(ConfigError, match=rf"^input\.path: a\.json: .*{sentence}"):
        make_plan(section(str(tmp_path)))


def test_a_request_file_of_the_batch_api(tmp_path: Path) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    row = {"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    write(tmp_path / "batch.jsonl", json.dumps(row).encode())
    with pytest.raises(ConfigError) as raised:
        make_plan(section(str(tmp_path), prompt={"messages": "messages"}, id_column="id"))
    message = str(raised.value)
    assert "no column 'messages' in batch.jsonl" in message
    assert "request file for OpenAI's batch API, which is not read yet" in message
    assert "jq -c '{id: .custom_id, messages: .body.messages}' batch.jsonl > rows.jsonl" in message
    asked = section(
        str(tmp_path), prompt={"template": "{{ body.messages[0].content }}"}, id_column="custom_id"
    )
    assert make_plan(asked).rows == 1, "a job that names what the file has can read it"
    assert batch_file_hint({"custom_id": None, "body": None}, "x") == ""

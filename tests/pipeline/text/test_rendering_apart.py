"""Templates in a process of their own: what comes back, and what of one that takes too long or too much."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.preflight.forecast import forecast
from pipeline.run import run
from pipeline.text import templates
from pipeline.text.chat_jinja import compile_chat_template
from pipeline.text.rendering_apart import rendering_apart
from pipeline.text.row_template import RowTemplate
from pipeline.text.template_sandbox import Sandbox
from pipeline.text.templates import BoundedTemplate
from pipeline.text.tokenization import Tokenizer
from tests.pipeline.text import misbehaving
from tests.published import generations

TINY = Path("configs/demo/tiny-mixtral")


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process renders no template."""

    def forbidden() -> None:
        raise AssertionError("a template was rendered in the driver")

    monkeypatch.setattr(templates, "Budget", forbidden)


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """No process stays behind, lest the next test have one with other limits."""
    yield
    with rendering_apart(then_stop=True):
        pass


def misbehaving_template(what: str) -> BoundedTemplate:
    return BoundedTemplate(f"{{{{ {what}() }}}}", "here", functions={what: getattr(misbehaving, what)})


@pytest.mark.usefixtures("nothing_here")
def test_texts_and_errors_are_those_of_this_process() -> None:
    with rendering_apart():
        template = BoundedTemplate("{{ text }}{{ n + 1 }}\ud800", "here")
        assert template.render({"text": "é\n🦙", "n": 1}) == "é\n🦙2\ud800"
        with pytest.raises(RowError, match="failed with TypeError") as caught:
            template.render({"text": "a", "n": "x"})
        assert caught.value.code is RowErrorCode.TEMPLATE_FAILED
        with pytest.raises(RowError) as caught:
            template.render({"text": None, "n": 1})
        assert caught.value.code is RowErrorCode.NULL_PROMPT
        with pytest.raises(ConfigError, match="here, line 1: unexpected end of template"):
            BoundedTemplate("{{ text", "here")
        chat = compile_chat_template("{{ raise_exception('no') }}", "there")
        with pytest.raises(RowError, match="refuses these messages"):
            chat.render({})
        cut = RowTemplate("{{ text | first_tokens(3) }}", Tokenizer.load(TINY))
        assert len(cut.render({"text": "many words stand here, and more than three"})) < 30


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("hang", "here: it takes more than 4 s"),
        ("grow", "here: it takes more than 1024 MB"),
        ("die", "here: the process that tried it ended with SIGKILL"),
    ],
)
def test_one_that_takes_too_much_is_named(what: str, why: str) -> None:
    with rendering_apart(seconds=4):
        template = misbehaving_template(what)
        begun = time.monotonic()
        with pytest.raises(ConfigError, match=why):
            template.render({})
        assert time.monotonic() - begun < 12
        assert BoundedTemplate("{{ text }}", "another").render({"text": "a"}) == "a"


def test_processor_time_is_told_in_seconds() -> None:
    """The kernel's signal, sent to the process as it is at its limit."""
    with rendering_apart():
        template = misbehaving_template("exceed")
        with pytest.raises(ConfigError, match="here: it takes more than 40 s of processor time, so it was"):
            template.render({})


def test_where_a_template_is_rendered_the_kernel_ends_it() -> None:
    """A worker has no process beside it. Its limit is of processor time, and holds in code of C."""
    code = (
        "from pipeline.text import templates; from tests.pipeline.text.misbehaving import hang\n"
        "templates.KERNEL_SECONDS = 0.2\n"
        "render = templates.BoundedTemplate('{{ hang() }}', 'here', functions={'hang': hang}).render\n"
        "templates.BoundedTemplate('{{ 1 }}', 'there').render({})\n"
        "sum(range(3 * 10**7)); print('alive', flush=True)\n"
        "render({})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (-signal.SIGVTALRM, "alive\n")


@pytest.mark.usefixtures("nothing_here")
def test_the_driver_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("a template was compiled in the driver")

    with rendering_apart(then_stop=True):
        monkeypatch.setattr(Sandbox, "compiled", forbidden)
        template = BoundedTemplate("{{ a }}{{ b }}", "here")
        assert template.columns == {"a", "b"}
        assert template.render({"a": 1, "b": 2}) == "12"


def test_an_unexpected_error_quotes_no_row() -> None:
    with rendering_apart(), pytest.raises(RowError, match="failed with KeyError") as caught:
        misbehaving_template("fail").render({})
    assert "SECRET" not in str(caught.value)


def test_many_templates_are_told_apart() -> None:
    with rendering_apart():
        many = [BoundedTemplate(f"{n}{{{{ a }}}}", "here") for n in range(40)]
        assert [one.render({"a": "x"}) for one in many] == [f"{n}x" for n in range(40)]


def test_behind_the_block_templates_are_rendered_here(nothing_here: None) -> None:
    with rendering_apart(then_stop=True):
        template = BoundedTemplate("{{ a }}", "here")
        assert template.render({"a": 1}) == "1"
    with pytest.raises(AssertionError, match="in the driver"):
        template.render({"a": 1})
    names = [" ".join(child.cmdline()) for child in psutil.Process().children()]
    assert not any("render_process" in name for name in names)


@pytest.mark.usefixtures("nothing_here")
def test_a_plan_renders_nothing_in_the_driver(make_config: Callable[..., object]) -> None:
    prompt = {"template": "Say {{ text }}"}
    config = make_config([{"text": "a"}], prompt=prompt, model={"path": str(TINY)}, input={"chat": True})
    assert [len(shown.tokens) > 1 for shown in forecast(config, show=1).shown] == [True]


@pytest.mark.usefixtures("nothing_here", "local_ray")
def test_a_run_renders_nothing_in_the_driver(make_config: Callable[..., object]) -> None:
    prompt = {"template": "Say {{ text }}"}
    generation = {"max_new_tokens": 1}
    config = make_config([{"text": "a"}], prompt=prompt, model={"path": str(TINY)}, generation=generation)
    run(config)
    assert list(generations(config)["status"]) == ["ok"]


def test_a_run_heeds_signals_while_a_template_hangs(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    job = {
        "job": "hanging",
        "task": "generate",
        "model": {"path": str(TINY.resolve())},
        "input": {"path": str(tmp_path / "a.jsonl"), "prompt": {"template": "{{ text }}"}},
        "output": {"path": str(tmp_path / "out")},
    }
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    command = [sys.executable, "-m", "jobs", "run", str(tmp_path / "job.yaml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as driver:
        child = _rendering_child(driver.pid)
        child.send_signal(signal.SIGSTOP)
        time.sleep(1)
        assert driver.poll() is None, "it waits for the child that is stopped"
        driver.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert driver.wait(timeout=20) == 75
        assert time.monotonic() - begun < 10
        child.wait(timeout=5)
        assert not os.path.exists(tmp_path / "out")


def _rendering_child(parent: int) -> psutil.Process:
    for _ in range(4000):
        for child in psutil.Process(parent).children():
            if "pipeline.text.render_process" in child.cmdline():
                return child
        time.sleep(0.05)
    raise AssertionError("the driver starts no process for templates")

"""The rules of the house for each file: its length, its docstring, its tests, and who knows the tasks."""

import ast

from tests.sources import FILES, PYTHON, ROOT, name_of

LINES = 200  # of a file of the sources
TEST_LINES = 250


def test_there_are_files():
    assert {name_of(path).partition("/")[0] for path in FILES} >= {"model", "pipeline", "jobs"}
    assert len(FILES) > 30


def test_no_file_is_longer_than_a_room():
    lines = {name_of(path): len(path.read_text().splitlines()) for path in PYTHON}
    most = {name: TEST_LINES if name.startswith("tests/") else LINES for name in lines}
    assert {name: count for name, count in lines.items() if count > most[name]} == {}


# A source file has a test file of its name, or the tests named here cover it. Benchmarks are run by commands.
TESTED_IN = {
    "model/json_values.py": "tests/model/test_config.py",
    "model/checkpoint/quantized/quantized_weight.py": "tests/model/checkpoint/quantized/test_awq.py",
    "model/checkpoint/quantized/kept.py": "tests/model/checkpoint/test_kept_weights.py",
    "model/requests/continuation_tree.py": "tests/model/requests/test_question_scores.py",
    "model/execution/divided_step.py": "tests/model/execution/test_step_size.py",
    "model/execution/end_rows.py": "tests/model/test_engine.py",
    "model/scheduling/prefix_pages.py": "tests/model/scheduling/test_scheduler.py",
    "model/scheduling/running_rows.py": "tests/model/scheduling/test_scheduler.py",
    "model/scheduling/sequence.py": "tests/model/scheduling/test_scheduler.py",
    "model/scheduling/waiting_rows.py": "tests/model/scheduling/test_scheduler.py",
    "model/requests/label_logits.py": "tests/model/engine/test_heads_equal_transformers.py",
    "model/requests/pooled_states.py": "tests/model/engine/test_heads_equal_transformers.py",
    "model/requests/text_scores.py": "tests/model/engine/test_heads_equal_transformers.py",
    "model/execution/loopback.py": "tests/model/execution/test_ranks.py",
    "model/requests/row_routing.py": "tests/model/routing/test_recorder.py",  # data alone
    "pipeline/output/verified.py": "tests/pipeline/output/test_verify.py",
    "pipeline/checkpoints/convert_quantized.py": "tests/pipeline/checkpoints/test_convert.py",
    "pipeline/checkpoints/convert_settings.py": "tests/pipeline/checkpoints/test_convert.py",
    "pipeline/config/engine.py": "tests/pipeline/config/test_job.py",
    "pipeline/config/errors.py": "tests/pipeline/config/test_job.py",
    "pipeline/config/input.py": "tests/pipeline/config/test_job.py",
    "pipeline/config/json_schema.py": "tests/docs/test_job_file.py",
    "pipeline/config/model.py": "tests/pipeline/config/test_job.py",
    "pipeline/config/output.py": "tests/pipeline/config/test_job.py",
    "pipeline/config/reference.py": "tests/docs/test_job_file.py",
    "pipeline/config/router.py": "tests/pipeline/config/test_job.py",
    "pipeline/config/row_parameters.py": "tests/pipeline/tasks/test_generate.py",
    "pipeline/tasks/label_choices.py": "tests/pipeline/tasks/test_label_question_section.py",
    "pipeline/tasks/label_rows.py": "tests/pipeline/tasks/test_label.py",
    "pipeline/tasks/label_section.py": "tests/pipeline/tasks/test_label_question_section.py",
    "pipeline/preflight/replica_checks.py": "tests/pipeline/preflight/test_doctor.py",
    "pipeline/reporting/computed.py": "tests/pipeline/reporting/test_report.py",
    "pipeline/reporting/exhibit.py": "tests/pipeline/reporting/test_label_exhibits.py",
    "pipeline/reporting/label_figures.py": "tests/pipeline/reporting/test_label_exhibits.py",
    "pipeline/reporting/label_measures.py": "tests/pipeline/reporting/test_label_quality.py",
    "pipeline/row_requests.py": "tests/pipeline/tasks/test_third_task.py",
    "pipeline/shards/shard.py": "tests/pipeline/shards/test_carried_shard.py",  # data alone
    "pipeline/task.py": "tests/pipeline/test_registered_tasks.py",
    "pipeline/text/model_without_controls.py": "tests/pipeline/text/test_vocabulary.py",
    "pipeline/text/open_vocabulary.py": "tests/pipeline/text/test_vocabulary.py",
    "pipeline/text/sentencepiece_vocabulary.py": "tests/pipeline/text/test_vocabulary.py",
    "pipeline/text/prompt_format.py": "tests/pipeline/text/test_choose_format.py",
    "pipeline/text/recognise_mistral.py": "tests/pipeline/text/test_chat_formats.py",
    "pipeline/text/render_process.py": "tests/pipeline/text/test_rendering_apart.py",
    "pipeline/text/template_budget.py": "tests/template_fuzz/test_template_fuzz.py",
    "pipeline/text/template_charges.py": "tests/template_fuzz/test_template_fuzz.py",
    "pipeline/text/template_filters.py": "tests/pipeline/text/test_templates.py",
    "pipeline/text/template_keys.py": "tests/pipeline/text/test_template_sorting.py",
    "pipeline/text/template_methods.py": "tests/template_fuzz/test_template_fuzz.py",
    "pipeline/text/template_operators.py": "tests/pipeline/text/test_templates.py",
    "pipeline/text/template_sandbox.py": "tests/pipeline/text/test_templates.py",
    "pipeline/text/template_sequences.py": "tests/template_fuzz/test_template_fuzz.py",
    "pipeline/text/template_texts.py": "tests/pipeline/text/test_template_sorting.py",
    "pipeline/text/template_tests.py": "tests/template_fuzz/test_template_fuzz.py",
    "pipeline/text/template_values.py": "tests/template_fuzz/test_template_fuzz.py",
    "pipeline/text/template_format.py": "tests/pipeline/text/test_chat_formats.py",
    "pipeline/text/tokenizer_files.py": "tests/pipeline/text/test_tokenization.py",
    "pipeline/text/tokenizer_settings.py": "tests/pipeline/text/test_tokenization.py",
    "jobs/__main__.py": "tests/jobs/test_command_line.py",
    "jobs/arguments.py": "tests/jobs/test_run.py",
    "jobs/plan.py": "tests/jobs/test_run.py",
    "jobs/schema.py": "tests/docs/test_job_file.py",
    "jobs/bench/agreement.py": "tests/benchmarks/test_agreement.py",
    "jobs/bench/commands.py": "tests/benchmarks/test_left_out.py",
    "jobs/bench/engine.py": "tests/benchmarks/test_left_out.py",
    "jobs/bench/job.py": "tests/benchmarks/test_job_bench.py",
    "jobs/bench/load.py": "tests/benchmarks/test_loading.py",
    "jobs/bench/options.py": "tests/benchmarks/test_left_out.py",
    "jobs/bench/show_engine.py": "tests/benchmarks/test_same_tokens.py",
}
MIRRORED = [
    path
    for path in FILES
    if name_of(path).startswith(("model/", "pipeline/", "jobs/")) and path.stem != "__init__"
]


def test_a_source_file_has_a_test_file_of_its_name():
    own = {
        path: ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.stem}.py") for path in MIRRORED
    }
    without = {name_of(path) for path, test in own.items() if not test.exists()}
    assert without == TESTED_IN.keys(), "each has a test file of its name or a line above, and none has both"
    assert [test for test in TESTED_IN.values() if not (ROOT / test).exists()] == []


def test_a_file_says_what_it_is_for():
    """By the docstring at its top."""
    assert [name_of(path) for path in FILES if not ast.get_docstring(ast.parse(path.read_text()))] == []


TASKS = ast.literal_eval(
    next(
        node.value
        for node in ast.parse((ROOT / "pipeline" / "registered_tasks.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BUILT_IN"
    )
)


def compares_a_task_s_name(node):
    """Such as `config.task == "label"`, `name in ("label", "generate")`, or a match over `job.task`."""
    sides = []
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
    elif isinstance(node, ast.Match):
        sides = [node.subject, *node.cases]
    values = [value for side in sides for value in (side, *getattr(side, "elts", ()))]
    return any(
        (isinstance(value, ast.Constant) and value.value in TASKS)
        or (isinstance(value, ast.Attribute) and value.attr == "task")
        for value in values
    )


OUTSIDE_TASKS = [
    path for path in FILES if name_of(path).startswith(("pipeline/", "jobs/")) and path.parent.name != "tasks"
]


def test_nothing_but_the_task_knows_which_task_it_is():
    assert [
        f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in OUTSIDE_TASKS
        for node in ast.walk(ast.parse(path.read_text()))
        if compares_a_task_s_name(node)
    ] == []


def test_the_rule_about_tasks_sees_such_a_comparison():
    for code in ('config.task == "x"', 'name != "label"', 'kind in {"generate", "y"}', "job.task is not z"):
        assert any(map(compares_a_task_s_name, ast.walk(ast.parse(code)))), code
    assert not any(map(compares_a_task_s_name, ast.walk(ast.parse('phase == "decode"'))))


def opens_text_in_some_encoding(node):
    """A call that reads or writes text in the encoding of the locale."""
    if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
        return False
    name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
    if name in ("read_text", "write_text"):
        return True
    of_files = isinstance(node.func, ast.Name) or ast.unparse(node.func) in ("path.open", "os.fdopen")
    modes = [value.value for value in node.args[1:] if isinstance(value, ast.Constant)]
    return name in ("open", "fdopen") and of_files and not any("b" in str(mode) for mode in modes)


def test_text_is_read_and_written_in_a_named_encoding():
    assert [
        f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in FILES
        if name_of(path).startswith(("model/", "pipeline/", "jobs/"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if opens_text_in_some_encoding(node)
    ] == []
    for code in ("p.read_text()", "open(p)", 'open(p, "w")', "p.write_text(t)"):
        assert any(map(opens_text_in_some_encoding, ast.walk(ast.parse(code)))), code


def test_no_file_is_called_utils():
    assert not [
        name_of(path) for path in FILES if path.stem in ("utils", "util", "helpers", "common", "misc")
    ]

"""Every place where the sources wait for Ray, or may: each with what ends the wait."""

import ast
from collections.abc import Iterator

from tests.sources import FILES, name_of

OF_RAY = {
    *(
        "ray.cancel",
        "ray.get",
        "ray.get_actor",
        "ray.init",
        "ray.kill",
        "ray.nodes",
        "ray.put",
        "ray.shutdown",
    ),
    *("ray.wait", "ray.available_resources", "ray.cluster_resources"),
    *(
        "ray.util.placement_group",
        "ray.util.remove_placement_group",
        "group.wait",
        "state.get_cluster_config",
    ),
    *("get_webui_url_from_internal_kv", "ray.data.read_datasource", "dataset.iter_batches"),
}
OF_ANY_HANDLE = {"remote", "async_check_alive", "async_get_worker_pids"}
ASKED = "`ask` gives it a deadline"
LIVES_ON_THE_DRIVERS_NODE = (
    "the coordinator: its watchdog has it started anew, and where its node is lost, so are driver and replica"
)
ENDED_BY = {
    "pipeline/cluster/devices.py ray_nodes": ASKED,
    "pipeline/cluster/devices.py offered_gpus": ASKED,
    "pipeline/cluster/exposed_dashboard.py exposed_dashboard": ASKED,
    "pipeline/cluster/ray_watch.py RayWatch._find_raylet": ASKED,
    "pipeline/cluster/ray_watch.py RayWatch._ask_both": "a timeout of asyncio's, in a thread of the watch",
    "pipeline/cluster/session.py _join": ASKED,
    "pipeline/cluster/stage_output.py blocks_of.take": "a thread waits; its consumer asks the watch",
    "pipeline/cluster/wait_for_gpus.py wait_for_gpus": ASKED,
    "pipeline/cluster/wait_for_gpus.py _wait": ASKED,
    "pipeline/replicas/replica.py Replica._run_or_give_up": LIVES_ON_THE_DRIVERS_NODE,
    "pipeline/run.py _stages": ASKED,
    "pipeline/supervision/coordinator.py _end": ASKED,
    "pipeline/supervision/coordinator.py _start": ASKED,
    "pipeline/supervision/ending.py _leave": "a thread waits, and the process ends without it",
    "pipeline/supervision/in_flight.py InFlightShards._close.close": ASKED,
    "pipeline/supervision/start_limit.py _answer": "a timeout of its own, after which the replica ends",
    "pipeline/supervision/start_limit.py starting": "`_answer` waits for it",
}


def waits(node: ast.AST, place: str = "") -> Iterator[str]:
    """The functions of a file in which Ray is called, or an actor."""
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        inside = f"{place}.{child.name}".strip(".") if named else place  # type: ignore[attr-defined]
        called = ast.unparse(child) if isinstance(child, (ast.Attribute, ast.Name)) else ""
        if called in OF_RAY or getattr(child, "attr", "") in OF_ANY_HANDLE:
            yield inside
        yield from waits(child, inside)


def test_each_wait_for_ray_is_ended_by_something() -> None:
    found = set()
    for path in FILES:
        source = path.read_text()
        if "ray" in source:
            found |= {f"{name_of(path)} {place}" for place in waits(ast.parse(source))}
    assert found == ENDED_BY.keys()

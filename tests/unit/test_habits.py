"""What tests do not do: pause, judge by a stop-watch, set what is private, or take from another layer's folder."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYERS = ("unit", "integration", "contracts", "e2e", "support")
CLOCKS = {"monotonic", "perf_counter", "monotonic_ns", "perf_counter_ns"}
PAUSES = {
    "integration/appproxy/smuggling/recorder.py::send": "a hint to the kernel to deliver apart; any division must do",
    "integration/appproxy/smuggling/test_answers.py::serve": "a hint to the kernel to deliver apart; any division must do",
    "integration/appproxy/test_chaos.py::test_nothing_is_lost_and_nothing_is_left": "load between two deeds",
    "integration/appproxy/test_health_passive.py::work": "a replica's work, during which it is killed",
    "integration/appproxy/test_real_clients.py::_events": "a replica's pace",
    "integration/appproxy/test_scaling.py::work": "a replica's work, during which replicas come and go",
    "integration/appproxy/test_slow_bodies.py::drip": "a caller that is slow on purpose",
    "integration/appproxy/test_slow_callers.py::dripping": "a caller that is slow on purpose",
    "integration/appproxy/test_workers.py::work": "a replica's work, in which others queue",
    "support/fakes/manager.py::_send": "a machine's interval of samples",
    "support/load.py::_work": "a caller's pace",
    "support/wait.py::eventually": "the one place that waits for conditions",
    "support/wait.py::until": "the one place that waits for conditions",
    "support/fakes/manager_api.py::logs": "a followed log's pace",
}
"""Pauses that stand for no condition, and why each is one all the same."""
STOPWATCHES = {
    "e2e/test_traffic.py::test_a_killed_replica_is_replaced_and_nobody_notices_after_half_a_second": "promised in seconds",
    "integration/engine/test_openai_api.py::test_tokens_arrive_one_by_one_at_the_pace_that_is_set": "at least so long",
    "support/fakes/clock.py::_now": "goes as the system's until a test stops it",
    "support/fakes/service.py::": "a service that is ready after a while on purpose",
    "support/fakes/service.py::do_GET": "a service that is ready after a while on purpose",
    "support/fakes/service.py::on_signal": "a service that ends after a while on purpose",
    "support/load.py::_work": "told with a failure",
    "support/wait.py::eventually": "the one place that waits for conditions",
    "support/wait.py::until": "the one place that waits for conditions",
}
"""Where tests read a clock that only goes on, and why."""
WIRED = {"BusInbox", "Converger", "DataPlane", "LoopRunner", "Prober", "Starter", "Tick", "UseCases", "WorkerContext"}
"""Parts that are made of many others. Tests get them from `make_manager`, `make_agent`, `make_autoscaler`, `build_data_plane`."""


@cache
def sources() -> dict[str, str]:
    files = (file for layer in LAYERS for file in sorted((ROOT / "tests" / layer).rglob("*.py")))
    return {file.relative_to(ROOT / "tests").as_posix(): file.read_text() for file in files}


@cache
def parsed(name: str) -> ast.Module:
    return ast.parse(sources()[name])


def modules(words: str) -> Iterator[tuple[str, ast.Module]]:
    """The modules in whose text something matches `words`; to parse all of them, and go through them, takes seconds."""
    matching = re.compile(words)
    return ((name, parsed(name)) for name, text in sources().items() if matching.search(text))


def calls(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.AST, ast.Call]]:
    """Every call, with the function that it stands in and the statement around it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from calls(node, node.name)
        else:
            if isinstance(node, ast.Call):
                yield inside, tree, node
            yield from calls(node, inside)


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def polls(tree: ast.Module) -> set[ast.Call]:
    """Pauses that are all of a loop on a condition: of child processes, which have nothing of the tests."""
    loops = (node for node in ast.walk(tree) if isinstance(node, ast.While) and not isinstance(node.test, ast.Constant))
    return {
        node for loop in loops if len(loop.body) == 1 for node in ast.walk(loop.body[0]) if isinstance(node, ast.Call)
    }


def test_tests_pause_for_conditions_and_not_for_a_time() -> None:
    found = {
        f"{name}::{inside}"
        for name, tree in modules("sleep")
        for inside, _, call in calls(tree)
        if name_of(call) == "sleep"
        and call not in polls(tree)
        and call.args
        and not (isinstance(call.args[0], ast.Constant) and not call.args[0].value)
    }
    assert found == set(PAUSES)


def test_tests_do_not_judge_by_a_stop_watch() -> None:
    found = {
        f"{name}::{inside}"
        for name, tree in modules("|".join(CLOCKS))
        for inside, _, call in calls(tree)
        if name_of(call) in CLOCKS
    }
    assert found == set(STOPWATCHES)


def test_http_clients_of_tests_read_no_certificate_authorities() -> None:
    """Which takes 60 ms of CPU time each, of what they never use."""
    makers = {"Client", "AsyncClient", "get", "post"}
    without = [
        f"{name}:{call.lineno}"
        for name, tree in modules(r"httpx\.")
        for _, _, call in calls(tree)
        if name_of(call) in makers and ast.unparse(call.func).startswith("httpx.")
        if "verify" not in {keyword.arg for keyword in call.keywords}
    ]
    assert without == []


def test_a_layer_s_tests_take_nothing_from_another_layer_s_folder() -> None:
    """What several use is in tests/support; tests/chaos are programs, which tests start."""
    layers = set(LAYERS) - {"support"}
    wrong = [
        f"{name}: {node.module}"
        for name, tree in modules(rf"from tests\.({'|'.join(layers)})")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests.")
        if (taken := str(node.module).split(".")[1]) in layers and taken != name.split("/")[0]
    ]
    assert wrong == []


def test_what_an_error_says_is_asked_of_its_text() -> None:
    """An exception without a text, as of `asyncio.timeout`, is true: `error or …` shows nothing at all."""
    found = re.compile(r"\{(?:error|exc|err) or ")
    files = (file for folder in ("libs", "services") for file in sorted((ROOT / folder).rglob("*.py")))
    assert [file.name for file in files if found.search(file.read_text()) and file.name != "prestart.py"] == []


def test_parts_of_services_are_put_together_by_wiring_alone() -> None:
    """Copies of it drift: what a test built without one of its parts is not what runs in production."""
    assert [
        f"{name}:{call.lineno}"
        for name, tree in modules(rf"\b({'|'.join(WIRED)})\(")
        for _, _, call in calls(tree)
        if name_of(call) in WIRED
    ] == []


def is_private(name: object) -> bool:
    return isinstance(name, str) and name.rsplit(".", 1)[-1].startswith("_") and not name.endswith("__")


def set_privately(node: ast.AST) -> bool:
    """Whether a private attribute of something else is set here, be it by `monkeypatch`."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_private(node.attr):
        return not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"})
    if isinstance(node, ast.Call) and name_of(node) == "setattr":
        return any(isinstance(word, ast.Constant) and is_private(word.value) for word in node.args[:2])
    return False


def test_no_test_sets_a_private_attribute() -> None:
    assert [
        f"{name}:{getattr(node, 'lineno', 0)}"
        for name, tree in modules(r"(?<!self)(?<!cls)\._[a-zA-Z]|setattr")
        for node in ast.walk(tree)
        if set_privately(node)
    ] == []

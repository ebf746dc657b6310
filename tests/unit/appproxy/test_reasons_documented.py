"""docs/data-plane.md names every word by which the proxy says why: no more, no fewer, and with the status it has."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from headrace.appproxy.dataplane.auth.access import DENIALS, Denial
from headrace.appproxy.dataplane.auth.authenticator import denial_problem
from headrace.appproxy.dataplane.inspect.form_head import Unreadable as NoForm
from headrace.appproxy.dataplane.inspect.json_head import Unreadable as NoJson
from headrace.appproxy.dataplane.inspect.json_search import Unfound
from headrace.appproxy.dataplane.ratelimit.policy import Code
from headrace.appproxy.dataplane.request.local_replies import failure_problem, interruption_problem
from headrace.appproxy.dataplane.request.model_reader import _WORDS
from headrace.appproxy.dataplane.upstream.failures import Failure, FailureKind
from headrace.common.contracts import problems
from headrace.common.contracts.problems import Problem

ROOT = Path(__file__).parents[3]
CODE = ROOT / "services/appproxy/headrace/appproxy"
PAGE = (ROOT / "docs/data-plane.md").read_text()
NOT_TOLD: frozenset[FailureKind] = frozenset({"engine-unavailable"})
"""The engine's own answer passes then."""
Pairs = set[tuple[str, int]]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under this heading of the page, without code marks."""
    section = PAGE.split(f"\n### {heading}\n", 1)[1].split("\n#", 1)[0]
    _, _, *lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in lines]


def calls(*, without: tuple[str, ...] = ()) -> Iterator[tuple[str, str, ast.Call]]:
    """Every call in the app-proxy: file, name of what is called, call."""
    for path in sorted(CODE.rglob("*.py")):
        name = str(path.relative_to(CODE))
        if name not in without:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield name, getattr(node.func, "attr", getattr(node.func, "id", "")), node


def texts(nodes: list[ast.expr]) -> list[str]:
    """The texts that stand in these expressions, but for those that are only compared with."""
    chosen = [
        choice for node in nodes for choice in ([node.body, node.orelse] if isinstance(node, ast.IfExp) else [node])
    ]
    return [node.value for node in chosen if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def of_framing() -> Pairs:
    """What is wrong with bytes. An answer's are told as `bad-response`."""
    found: Pairs = set()
    for file, name, call in calls(without=("dataplane/http1/responses.py", "dataplane/upstream/connection.py")):
        if name == "FramingError":
            code, status = call.args[0], call.args[2] if len(call.args) > 2 else ast.Constant(400)
            statuses = [status.body, status.orelse] if isinstance(status, ast.IfExp) else [status]
            assert isinstance(code, ast.Constant), f"{file}: a code that is not written out"
            for one in statuses:
                assert isinstance(one, ast.Constant), f"{file}: a status that is not written out"
                found.add((str(code.value), int(str(one.value))))
    return found


def of_refusals() -> Pairs:
    """Why no replica takes a request."""
    found: Pairs = set()
    for file, name, call in calls():
        if name == "Refusal":
            status, code = call.args[:2]
            assert isinstance(status, ast.Constant), file
            assert isinstance(code, ast.Constant), file
            found.add((str(code.value), int(str(status.value))))
    return found


def of_problems() -> Pairs:
    """Problems that are made with a `reason`, or without one: then it is their type."""
    found: Pairs = set()
    for file, name, call in calls():
        kind = getattr(problems, name, None)
        if not (isinstance(kind, type) and issubclass(kind, Problem)):
            continue
        reason = next((word.value for word in call.keywords if word.arg == "reason"), ast.Constant(kind.type))
        if isinstance(reason, ast.Constant):
            found.add((str(reason.value), kind.status))
        else:  # it passes on one of the closed sets below
            assert file in ("dataplane/request/local_replies.py", "dataplane/request/exchange.py"), (
                f"{file}: a reason that is not written out"
            )
    return found


def of_closed_sets() -> Pairs:
    """Denials of the gate, verdicts on callers' limits, and failures of replicas."""
    failures = set(get_args(FailureKind)) - NOT_TOLD
    return (
        {(why, denial_problem(why, basic=False).status) for why in get_args(Denial)}
        | {(why, 429) for why in get_args(Code)}
        | {(why, failure_problem(Failure(why, "")).status) for why in failures}
    )


def of_cuts() -> Pairs:
    """Requests that are ended before an answer began."""
    found = [
        why
        for _, name, call in calls(without=("dataplane/request/relay.py", "dataplane/request/tunnel.py"))
        if name in ("cut", "cut_now")
        for why in texts(call.args)
    ]
    return {(why, interruption_problem(why).status) for why in found}


def test_every_reason_of_an_answer_is_documented_with_its_status() -> None:
    told = of_framing() | of_refusals() | of_problems() | of_closed_sets() | of_cuts()
    assert {("head-timeout", 408), ("replicas-full", 429), ("token-budget", 429), ("shutting-down", 503)} <= told
    assert {(reason, int(status)) for reason, status, _ in rows("Answers")} == told


def test_every_end_in_the_middle_of_an_answer_is_documented_with_its_type() -> None:
    told = {why for _, name, call in calls() if name in ("cut", "cut_now", "broke_off") for why in texts(call.args)}
    for node in ast.walk(ast.parse((CODE / "dataplane/request/local_replies.py").read_text())):
        if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant):
            told.add(str(node.value.value))
    told |= DENIALS  # of callers who lost the right that they had
    assert {"idle-timeout", "replica-stopped", "bad-response"} <= told
    assert {(why, kind) for why, kind, _ in rows("Broken answers")} == {
        (why, interruption_problem(why).type) for why in told
    }


def test_every_code_of_the_fleet_s_base_url_is_documented() -> None:
    unreadable = (set(get_args(NoJson)) | set(get_args(NoForm)) | set(get_args(Unfound))) - {"", "too-long"}
    beside = {"missing-model", "byte-order-mark", "compressed-body"}
    assert set(_WORDS) == unreadable | beside
    told = {(why.replace("-", "_"), 415 if why == "compressed-body" else 400) for why in _WORDS}
    told |= {("model_not_found", 404)}
    written = {
        str(word.value.value)
        for _, name, call in calls()
        if name == "error"
        for word in call.keywords
        if word.arg == "code" and isinstance(word.value, ast.Constant)
    }
    assert written <= {code for code, _ in told}
    assert {(code, int(status)) for code, status, _ in rows("The fleet's base URL")} == told

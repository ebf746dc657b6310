"""Ports, rewriting, usage, engine metrics, endings: pure parts of the agent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.agent.domain.exposition import filter_lines, read_exposition, with_rates
from headrace.agent.domain.health import Policy, begin
from headrace.agent.domain.kernels import (
    KernelRecord,
    Progress,
    SeenKernel,
    ending_of,
    report_of,
    undecrypted,
    with_log,
)
from headrace.agent.domain.ports import PortRange, choose_port
from headrace.agent.domain.rewriting import CommandRewriter
from headrace.agent.domain.usage import Usage, kernel_values
from headrace.agent.logs import chunks, from_time
from headrace.agent.machine import architecture, cpu_count, memory_bytes
from headrace.agent.runtime.listening import Listener, in_words, listeners
from headrace.common.contracts.ids import KernelId, SessionId, new_uuid
from headrace.common.contracts.messages.plans import GpuGrant, PlannedKernel
from headrace.common.contracts.messages.reports import Gpu
from headrace.common.contracts.reasons import Reason
from tests.unit.agent.test_convergence import spec_of

MOVED = CommandRewriter(20001, "/w/models", 8000, (("/models", "/w/models"), ("/home/work", "/w/home/work")))


@pytest.mark.parametrize(
    ("word", "becomes"),
    [
        ("8000", "8000"),
        ("--port=8000", "--port=20001"),
        ('"0.0.0.0:8000"', '"0.0.0.0:20001"'),
        ("-p8000", "-p20001"),
        ("0.0.0.0:8000", "0.0.0.0:20001"),
        ("http://localhost:8000/x", "http://localhost:20001/x"),
        ("18000", "18000"),
        ("8000.5", "8000.5"),
        ("1.8000", "1.8000"),
        ("model-v8000", "model-v8000"),
        ("/models", "/w/models"),
        ("/models/a/b.py", "/w/models/a/b.py"),
        ("--model=/models/a", "--model=/w/models/a"),
        ("/models:/home/work", "/w/models:/w/home/work"),
        ("'/models'", "'/w/models'"),
        ("/models2", "/models2"),
        ("/models-old", "/models-old"),
        ("/srv/models", "/srv/models"),
        ("https://host/models", "https://host/models"),
        ("{model_path}/a", "/w/models/a"),
        ('{"json": {"x": 1}}', '{"json": {"x": 1}}'),
    ],
)
def test_words_are_rewritten_where_they_mean_the_kernels_own(word: str, becomes: str) -> None:
    assert MOVED.command(["serve", word, "--end"]) == ("serve", becomes, "--end")


@pytest.mark.parametrize(
    ("command", "becomes"),
    [
        ("vllm serve /m --port 8000 --max-model-len 8000", "vllm serve /m --port 20001 --max-model-len 8000"),
        ("python -m http.server 8000", "python -m http.server 20001"),
        ("serve --http-port 8000 --seed 8000", "serve --http-port 20001 --seed 8000"),
        ("serve -p 8000 --batch-tokens 8000", "serve -p 20001 --batch-tokens 8000"),
        ("serve --listen 0.0.0.0:8000 8000 x", "serve --listen 0.0.0.0:20001 8000 x"),
        ("gunicorn -b :8000 app:app", "gunicorn -b :20001 app:app"),
        ("uvicorn --host [::]:8000 x", "uvicorn --host [::]:20001 x"),
        ("env PORT=8000 GRPC_PORT=8000 LIMIT=8000 serve", "env PORT=20001 GRPC_PORT=20001 LIMIT=8000 serve"),
        (
            "serve --max-num-batched-tokens=8000 --url=http://0.0.0.0:8000/v1",
            "serve --max-num-batched-tokens=8000 --url=http://0.0.0.0:20001/v1",
        ),
        ("serve --max-model-len 8000", "serve --max-model-len 8000"),
        ("8000 --port 9000", "8000 --port 9000"),
    ],
)
def test_a_port_is_rewritten_where_a_port_stands(command: str, becomes: str) -> None:
    assert MOVED.command(command.split()) == tuple(becomes.split())


def test_json_inside_an_argument_is_left_alone() -> None:
    for text in ('{"max_len": 8000}', '{"a":8000,"b":[8000, 1]}', '{"port": 8000 }', '{"x":8000 }'):
        assert MOVED.command(["serve", "--override", text, "--x"])[2] == text
        assert MOVED.command(["sh", "-c", f"serve --override '{text}' --x"])[2] == f"serve --override '{text}' --x"


def test_a_shells_script_is_looked_at_command_by_command() -> None:
    script = "cd /models && python -m http.server --directory /home/work 8000 & serve --port '8000' --max-len 8000; echo 8000 x"
    becomes = "cd /w/models && python -m http.server --directory /w/home/work 20001 & serve --port '8000' --max-len 8000; echo 8000 x"
    assert MOVED.command(["/bin/sh", "-c", script]) == (
        "/bin/sh",
        "-c",
        becomes.replace("--port '8000'", "--port '20001'"),
    )


def test_with_a_placeholder_the_literal_number_is_something_else() -> None:
    assert MOVED.command(["--max-len", "8000", "--port", "{port}"]) == ("--max-len", "8000", "--port", "20001")


def test_the_environment_keeps_its_numbers() -> None:
    assert MOVED.environ({"A": "8000", "B": "/models/x"}) == {"A": "8000", "B": "/w/models/x"}


def test_on_docker_only_placeholders_are_filled() -> None:
    assert CommandRewriter(8000, "/models").command(["/models/x", "9", "{port}"]) == ("/models/x", "9", "8000")


@pytest.mark.parametrize("text", ["", "20000", "20000-", "a-b", "20000-19999", "80-90", "60000-70000"])
def test_a_wrong_port_range_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        PortRange.parse(text)


def test_a_port_range_holds_both_its_ends_and_is_written_as_it_is_read() -> None:
    pool = PortRange.parse("20000-20999")
    assert (pool, len(pool), str(pool)) == (PortRange(20000, 20999), 1000, "20000-20999")


@given(st.sets(st.integers(2000, 2009)), st.sets(st.integers(2000, 2009)), st.none() | st.integers(1990, 2020))
def test_a_port_is_free_and_nobodys_as_long_as_there_is_one(taken: set[int], busy: set[int], after: int | None) -> None:
    port = choose_port(PortRange(2000, 2009), taken, lambda p: p not in busy, after=after)
    free = set(range(2000, 2010)) - taken - busy
    assert port in free if free else port is None


def test_ports_go_round() -> None:
    pool = PortRange(2000, 2002)
    assert [choose_port(pool, (), lambda _: True, after=p) for p in (None, 2000, 2001, 2002)] == [
        2000,
        2001,
        2002,
        2000,
    ]


def test_usage_becomes_the_values_of_the_contract() -> None:
    spec = spec_of(KernelId(new_uuid())).model_copy(
        update={"slots": {"mem": Decimal(1000)}, "gpus": (GpuGrant(gpu_id="a"), GpuGrant(gpu_id="b"))}
    )
    gpus = {
        name: Gpu(gpu_id=name, index=0, model="m", memory_bytes=100, memory_used_bytes=50, utilization_percent=busy)
        for name, busy in (("a", 20), ("b", 40))
    }
    first, second = Usage(10, 5, 250, 100, 200), Usage(12, 8, 250, 1100, 200)
    assert kernel_values(spec, first, None, {}, machine_mem_bytes=1) == {"mem": 250, "mem_util": 25}
    assert kernel_values(spec, second, first, gpus, machine_mem_bytes=1) == {
        "mem": 250,
        "mem_util": 25,
        "cpu_used": 1.5,
        "cpu_util": 150,
        "net_rx": 500,
        "net_tx": 0,
        "cuda_util": 30,
        "cuda_mem_util": 50,
    }
    without = kernel_values(spec.model_copy(update={"slots": {}}), second, first, {}, machine_mem_bytes=500)
    assert without["mem_util"] == 50


def test_a_kernel_without_a_network_of_its_own_has_no_network_rates() -> None:
    first, second = Usage(10, 5, 250), Usage(12, 8, 250)
    rates = kernel_values(spec_of(KernelId(new_uuid())), second, first, {}, machine_mem_bytes=500)
    assert set(rates) == {"mem", "mem_util", "cpu_used", "cpu_util"}


PAGE = """
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model="a"} 2
vllm:num_requests_running{model="b"} 3
# TYPE requests_total counter
requests_total{code="200"} 10
requests_created{code="200"} 1.7e9
# TYPE seconds histogram
seconds_bucket{le="1"} 1
seconds_bucket{le="+Inf"} 2
seconds_sum 3.5
seconds_count 2
# TYPE odd gauge
odd NaN
untyped_total 4
"""


def test_over_labels_an_engines_counters_are_added_and_its_gauges_averaged() -> None:
    values, counters = read_exposition(PAGE)
    assert values == {
        "vllm:num_requests_running": 2.5,
        "requests_total": 10,
        "seconds_sum": 3.5,
        "seconds_count": 2,
        "untyped_total": 4,
    }
    assert counters == {"requests_total", "seconds_sum", "seconds_count", "untyped_total"}
    later = {**values, "requests_total": 30, "seconds_count": 1}
    rates = with_rates(later, values, counters, 2.0)
    assert rates["requests_total:rate"] == 10
    assert rates["seconds_count:rate"] == 0.5  # it began anew
    assert "vllm:num_requests_running:rate" not in rates


def test_a_ratio_that_four_ranks_report_is_still_a_ratio() -> None:
    ranks = "".join(f'sglang:token_usage{{tp_rank="{rank}"}} 0.3\n' for rank in range(4))
    for typed in ("", "# TYPE sglang:token_usage gauge\n"):
        values, _ = read_exposition(typed + ranks)
        assert values["sglang:token_usage"] == pytest.approx(0.3)
    counted, counters = read_exposition(f"# TYPE done counter\n{ranks.replace('sglang:token_usage', 'done_total')}")
    assert counted == {"done_total": pytest.approx(1.2)}
    assert counters == {"done_total"}


def test_a_page_with_too_many_names_is_cut_and_nonsense_is_refused() -> None:
    values, _ = read_exposition("".join(f"m{i} 1\n" for i in range(600)))
    assert len(values) == 500
    with pytest.raises(ValueError):
        read_exposition("<html>hello there</html>")


NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = spec_of(KernelId(new_uuid()))
SEEN = SeenKernel(SPEC.kernel_id, SPEC.session_id, None, "running", NOW, "host", 20001)


def test_reports_of_every_state() -> None:
    record = KernelRecord(spec=SPEC)
    pulling = Progress("start", Reason(code="preparing", text="pulling image x"))
    waiting = report_of(SPEC.kernel_id, record, None, None)
    assert waiting is not None
    assert (waiting.state, waiting.health, waiting.reason.code) == ("preparing", "degraded", "queued")
    preparing = report_of(SPEC.kernel_id, record, None, pulling)
    assert preparing is not None
    assert (preparing.state, preparing.reason.text) == ("preparing", "pulling image x")
    running = report_of(
        SPEC.kernel_id,
        record.model_copy(update={"started_at": NOW, "health": begin(Policy.of(None), NOW)}),
        SEEN,
        None,
    )
    assert running is not None
    assert (running.state, running.health, running.port) == ("running", "degraded", 20001)
    just_started = report_of(SPEC.kernel_id, record.model_copy(update={"started_at": NOW}), SEEN, None)
    assert just_started == running  # the instant before its first check is planned says nothing else
    failed = report_of(
        SPEC.kernel_id, record.model_copy(update={"failure": Reason(code="folder-missing", text="x")}), None, None
    )
    assert failed is not None
    assert (failed.state, failed.health, failed.port) == ("failed", "unhealthy", None)
    stranger = report_of(SPEC.kernel_id, None, SEEN, None)
    assert stranger is not None
    assert (stranger.state, stranger.health, stranger.reason.code) == ("running", "degraded", "awaiting-plan")


def test_a_kernel_whose_plan_cannot_be_decrypted_waits_and_says_why() -> None:
    spec = spec_of(KernelId(new_uuid()))
    planned = PlannedKernel(
        **{name: getattr(spec, name) for name in PlannedKernel.model_fields if name != "spec"}, spec="1"
    )
    report = undecrypted(planned, "generation 7 is not encrypted to its key")
    assert (report.kernel_id, report.session_id, report.service_id) == (
        planned.kernel_id,
        planned.session_id,
        planned.service_id,
    )
    assert (report.state, report.health, report.host, report.port) == ("preparing", "degraded", None, None)
    assert report.reason is not None
    assert report.reason.code == "plan-unreadable"
    assert report.reason.text.endswith("generation 7 is not encrypted to its key")


def test_the_last_lines_of_a_log_are_told_in_one_line() -> None:
    lines = [f"2026-01-01T00:00:00Z {line}" for line in ("loading", "", "  ", "Traceback:", "  no such weights")]
    ending = ending_of(replace(SEEN, phase="exited", exit_code=1), lines)
    assert (
        ending.reason.text == "its program ended with exit code 1; last lines: loading | Traceback: | no such weights"
    )


@pytest.mark.parametrize(
    ("facts", "code", "words"),
    [
        (
            {"exit_code": 137, "exit_reason": Reason(code="out-of-memory", text="it was killed for its memory")},
            "out-of-memory",
            "it was killed for its memory",
        ),
        ({"exit_code": None}, "exited", "it ended; its exit code is not known"),
        ({"exit_code": 0}, "exited", "its program ended with exit code 0"),
        ({"exit_code": 139}, "killed-by-signal", "it ended by signal 11 (exit code 139)"),
    ],
)
def test_an_ended_kernel_says_what_the_runtime_knows_of_its_end(facts: dict[str, Any], code: str, words: str) -> None:
    ending = ending_of(replace(SEEN, phase="exited", **facts), [])
    assert (ending.reason.code, ending.reason.text, ending.exit_code) == (code, words, facts["exit_code"])


def test_a_container_that_exited_is_out_whatever_its_health_was() -> None:
    gone = SeenKernel(SPEC.kernel_id, SessionId(SPEC.session_id), None, "exited", NOW, "host", 20001, exit_code=137)
    ending = ending_of(gone, ["2026-01-01T00:00:00Z out of luck"])
    healthy = begin(Policy.of(None), NOW).model_copy(update={"status": "healthy"})
    record = KernelRecord(spec=SPEC, started_at=NOW, health=healthy, ending=ending)
    report = report_of(SPEC.kernel_id, record, gone, None)
    assert report is not None
    assert (report.state, report.health, report.exit_code) == ("exited", "unhealthy", 137)
    assert report.reason.code == "killed-by-signal"
    assert report.reason.text.endswith("last lines: out of luck")


@given(st.text(max_size=1500), st.lists(st.text(max_size=500), max_size=20))
def test_a_reason_with_its_log_stays_within_a_thousand_characters(text: str, lines: list[str]) -> None:
    assert len(with_log(Reason(code="x", text=text), lines).text) <= 1000


@given(st.lists(st.text(max_size=300), max_size=900))
def test_log_chunks_are_bounded_and_complete(lines: list[str]) -> None:
    pieces = list(chunks(lines))
    assert [line for piece in pieces for line in piece] == lines
    assert all(len(piece) <= 200 and sum(map(len, piece)) <= 60_000 for piece in pieces)
    assert len(list(chunks(["x" * 50_000] * 3))) == 3


def test_the_machine_is_what_the_control_group_allows(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       1000 kB\nMemFree: 10 kB\n")
    cores = cpu_count(tmp_path)
    assert memory_bytes(tmp_path, meminfo) == 1_024_000
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("500\n")
    assert (cpu_count(tmp_path), memory_bytes(tmp_path, meminfo)) == (0.5, 500)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert (cpu_count(tmp_path), memory_bytes(tmp_path, meminfo)) == (cores, 1_024_000)
    v1 = tmp_path / "v1"
    (v1 / "cpu").mkdir(parents=True)
    (v1 / "memory").mkdir()
    (v1 / "cpu/cpu.cfs_quota_us").write_text("25000\n")
    (v1 / "cpu/cpu.cfs_period_us").write_text("100000\n")
    (v1 / "memory/memory.limit_in_bytes").write_text("600\n")
    assert (cpu_count(v1), memory_bytes(v1, meminfo)) == (0.25, 600)
    assert architecture("arm64") == "aarch64"
    with pytest.raises(ValueError, match="supported"):
        architecture("riscv64")


def test_a_page_cut_to_what_is_wanted_reads_as_the_whole_one_does_for_that() -> None:
    values, counters = read_exposition(PAGE)
    for name in values:
        wanted = f"{name}:rate" if name in counters else name
        cut, cut_counters = read_exposition(filter_lines(PAGE, [wanted]))
        assert cut[name] == values[name]
        assert (name in cut_counters) == (name in counters)
    assert filter_lines(PAGE, []) == ""
    assert len(filter_lines(PAGE, ["vllm:num_requests_running"]).splitlines()) <= 3


def test_listening_sockets_are_read_from_the_systems_tables() -> None:
    v4 = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0\n"
        "   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0\n"
        "   2: 0100007F:1F41 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0\n"
        "   3: broken\n"
    )
    v6 = (
        "  sl  local_address                         remote_address                        st\n"
        "   0: 00000000000000000000000001000000:1F42 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000"
        " 00000000     0        0 14 1 0 100 0 0 10 0\n"
    )
    found = [*listeners(v4), *listeners(v6)]
    assert [(one.inode, str(one)) for one in found] == [
        ("11", "127.0.0.1:8000"),
        ("12", "0.0.0.0:80"),
        ("14", "[::1]:8002"),
    ]
    assert in_words(found) == "0.0.0.0:80, 127.0.0.1:8000, [::1]:8002"
    many = [Listener(str(n), "0.0.0.0", 9000 + n) for n in range(8)]
    assert in_words(many).endswith("0.0.0.0:9004 and 3 more")


async def test_a_log_that_is_read_on_begins_at_the_time_that_is_asked_for() -> None:
    batches: tuple[Sequence[str], ...] = (
        ["2026-01-01T00:00:01Z a", "2026-01-01T00:00:02Z b"],
        [],
        ["2026-01-01T00:00:01Z clock set back"],
    )

    async def said() -> AsyncGenerator[Sequence[str], None]:
        for batch in batches:
            yield batch

    late = [list(batch) async for batch in from_time(said(), "2026-01-01T00:00:02Z")]
    assert late == [[batches[0][1]], [], batches[2]]
    assert [list(batch) async for batch in from_time(said(), None)] == list(batches)

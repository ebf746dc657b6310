"""The metrics page as Prometheus reads it, and the ledger's sums."""

import asyncio
import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace.engine.metrics import Metrics
from headrace.engine.request_log import RequestLog


def test_the_page_is_read_by_prometheus_with_vllms_names_types_and_labels() -> None:
    metrics = Metrics('a"b\\c', 1_000)
    metrics.first_token.observe(0.04)
    metrics.first_token.observe(5_000)
    metrics.success["stop"].add()
    metrics.generation_tokens.add(7)
    page = metrics.page(running=2, waiting=1, kv_cache_usage=0.5)
    families = {family.name: family for family in text_string_to_metric_families(page)}
    kinds = {name: family.type for name, family in families.items()}
    assert kinds["vllm:num_requests_running"] == kinds["vllm:num_requests_waiting"] == "gauge"
    assert kinds["vllm:kv_cache_usage_perc"] == "gauge"
    assert kinds["vllm:request_success"] == kinds["vllm:prompt_tokens"] == kinds["vllm:generation_tokens"] == "counter"
    for name in ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"):
        assert kinds[f"vllm:{name}"] == "histogram"
    samples = {
        (s.name, s.labels.get("le"), s.labels.get("finished_reason")): s for f in families.values() for s in f.samples
    }
    assert samples["vllm:num_requests_running", None, None].value == 2
    assert samples["vllm:num_requests_running", None, None].labels == {"engine": "0", "model_name": 'a"b\\c'}
    assert samples["vllm:request_success_total", None, "stop"].value == 1
    assert samples["vllm:generation_tokens_total", None, None].value == 7
    buckets = [s.value for s in families["vllm:time_to_first_token_seconds"].samples if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert samples["vllm:time_to_first_token_seconds_bucket", "0.04", None].value == 1  # upper bounds are inclusive
    assert samples["vllm:time_to_first_token_seconds_bucket", "0.02", None].value == 0
    assert buckets[-1] == samples["vllm:time_to_first_token_seconds_count", None, None].value == 2
    assert math.isclose(samples["vllm:time_to_first_token_seconds_sum", None, None].value, 5_000.04)


def test_every_end_is_told_apart_and_the_sums_agree() -> None:
    now = [0.0]
    request_log = RequestLog(wall=lambda: 1_000.0 + now[0], clock=lambda: now[0])
    headers = {"Host": "h", "X-Forwarded-User": "u" * 300, "Authorization": "Bearer secret", "Accept": "x"}

    def end_with(error: BaseException | None) -> None:
        with request_log.entry("/p", model="m", stream=False, headers=headers) as entry:
            entry.state = "running"
            entry.prompt_tokens = 3
            assert request_log.held_tokens == 3
            assert request_log.view(10)["running"] == 1
            now[0] += 2
            if error is not None:
                raise error

    end_with(None)
    for error in (asyncio.CancelledError(), ConnectionResetError(), ValueError()):
        with pytest.raises(type(error)):
            end_with(error)
    view = request_log.view(2)
    assert {k: v for k, v in view.items() if k != "requests"} == {
        "started": 4,
        "finished": 1,
        "failed": 1,
        "cancelled": 2,
        "running": 0,
        "waiting": 0,
    }
    newest = view["requests"]
    assert isinstance(newest, list)
    assert [(r["id"], r["state"], r["seconds"]) for r in newest] == [(3, "cancelled", 2.0), (4, "failed", 2.0)]
    assert newest[0]["headers"] == {"host": "h", "x-forwarded-user": "u" * 256}
    assert request_log.held_tokens == 0
    assert request_log.view(0)["requests"] == []

"""The engine's metrics, with the names, types and labels of vLLM's V1 engine, in the Prometheus text format.

Source of the names: vLLM's `v1/metrics/loggers.py` and its page "Production Metrics".
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FINISH_REASONS = ("stop", "length", "abort")

_FIRST_TOKEN = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
    640.0,
    2560.0,
)
_PER_TOKEN = (
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
)
_REQUEST = (
    0.3,
    0.5,
    0.8,
    1.0,
    1.5,
    2.0,
    2.5,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    40.0,
    50.0,
    60.0,
    120.0,
    240.0,
    480.0,
    960.0,
    1920.0,
    7680.0,
)


class Counter:
    """Counter metric."""

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1) -> None:
        """Add `amount`, which is not negative."""
        self.value += amount


class Histogram:
    """Histogram metric."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = (*bounds, math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count `value` in its bucket (upper bounds are inclusive)."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """Yield the histogram's samples; bucket counts are cumulative."""
        total = 0
        for bound, count in zip(self._bounds, self._counts, strict=True):
            total += count
            le = "+Inf" if bound == math.inf else repr(float(bound))
            yield f'{name}_bucket{{{labels},le="{le}"}} {float(total)}'
        yield f"{name}_count{{{labels}}} {float(total)}"
        yield f"{name}_sum{{{labels}}} {self._sum}"


class Metrics:
    """Counters and histograms of the engine. Gauges are computed at exposition."""

    def __init__(self, model: str, max_model_len: int) -> None:
        escaped = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        self._labels = f'engine="0",model_name="{escaped}"'
        lengths = _one_two_five(max_model_len)
        self.success = {reason: Counter() for reason in FINISH_REASONS}
        self.prompt_tokens = Counter()
        self.generation_tokens = Counter()
        self.first_token = Histogram(_FIRST_TOKEN)
        self.between_tokens = Histogram(_PER_TOKEN)
        self.request_per_token = Histogram(_PER_TOKEN)
        self.latency = Histogram(_REQUEST)
        self.queue = Histogram(_REQUEST)
        self.inference = Histogram(_REQUEST)
        self.prefill = Histogram(_REQUEST)
        self.decode = Histogram(_REQUEST)
        self.request_prompt_tokens = Histogram(lengths)
        self.request_generation_tokens = Histogram(lengths)
        self.request_max_tokens = Histogram(lengths)

    def page(self, *, running: int, waiting: int, kv_cache_usage: float) -> str:
        """Return the whole page. `kv_cache_usage` is a ratio, 1 is full."""
        lines: list[str] = []
        for name, text, value in (
            ("num_requests_running", "Number of requests in model execution batches.", float(running)),
            ("num_requests_waiting", "Number of requests waiting to be processed.", float(waiting)),
            ("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", kv_cache_usage),
        ):
            lines += self._family(name, "gauge", text)
            lines.append(f"vllm:{name}{{{self._labels}}} {value}")
        for name, text, counter in (
            ("num_preemptions_total", "Cumulative number of preemption from the engine.", Counter()),
            ("prompt_tokens_total", "Number of prefill tokens processed.", self.prompt_tokens),
            ("generation_tokens_total", "Number of generation tokens processed.", self.generation_tokens),
            ("prefix_cache_queries_total", "Prefix cache queries, in number of queried tokens.", self.prompt_tokens),
            ("prefix_cache_hits_total", "Prefix cache hits, in number of cached tokens.", Counter()),
        ):
            lines += self._family(name, "counter", text)
            lines.append(f"vllm:{name}{{{self._labels}}} {counter.value}")
        lines += self._family("request_success_total", "counter", "Count of successfully processed requests.")
        for reason, counter in self.success.items():
            lines.append(f'vllm:request_success_total{{{self._labels},finished_reason="{reason}"}} {counter.value}')
        for name, text, histogram in self._histograms():
            lines += self._family(name, "histogram", text)
            lines += histogram.lines(f"vllm:{name}", self._labels)
        return "\n".join(lines) + "\n"

    def _histograms(self) -> tuple[tuple[str, str, Histogram], ...]:
        phase = "Histogram of time spent in {} phase for request."
        return (
            ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", self.first_token),
            ("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", self.between_tokens),
            # The name that vLLM gave the line above until 0.11; dashboards still ask for it.
            ("time_per_output_token_seconds", "Histogram of time per output token in seconds.", self.between_tokens),
            ("request_time_per_output_token_seconds", "Time per output token of a request.", self.request_per_token),
            ("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", self.latency),
            ("request_queue_time_seconds", phase.format("WAITING"), self.queue),
            ("request_inference_time_seconds", phase.format("RUNNING"), self.inference),
            ("request_prefill_time_seconds", phase.format("PREFILL"), self.prefill),
            ("request_decode_time_seconds", phase.format("DECODE"), self.decode),
            ("request_prompt_tokens", "Number of prefill tokens processed.", self.request_prompt_tokens),
            ("request_generation_tokens", "Number of generation tokens processed.", self.request_generation_tokens),
            ("request_params_max_tokens", "Histogram of the max_tokens request parameter.", self.request_max_tokens),
        )

    @staticmethod
    def _family(name: str, kind: str, text: str) -> list[str]:
        return [f"# HELP vllm:{name} {text}", f"# TYPE vllm:{name} {kind}"]


def _one_two_five(largest: int) -> tuple[float, ...]:
    """Return 1, 2, 5, 10, 20, 50 … up to `largest`."""
    bounds = []
    power = 1
    while power <= largest:
        bounds += [float(m * power) for m in (1, 2, 5) if m * power <= largest]
        power *= 10
    return tuple(bounds)

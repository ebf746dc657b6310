"""Samples on their way to the autoscaler."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import AwareDatetime, Field

from headrace.common.contracts.ids import AgentId, KernelId, ProxyId, ServiceId, SessionId
from headrace.common.contracts.messages.envelope import Message, Part

SERVICE_METRICS: Final = frozenset({"headrace_queued", "headrace_queue_seconds", "headrace_refused_per_second"})
"""Metrics of a service as a whole, from app-proxies."""
Value = Annotated[float, Field(allow_inf_nan=False)]


class KernelSample(Part):
    """Measurements of one kernel since the last message.

    `kernel`: cpu_util (percent of one core), cpu_used (cores), mem (bytes), mem_util (percent of the limit), net_rx,
    net_tx (bytes/s), cuda_util and cuda_mem_util (percent, mean over its GPUs). `engine`: metrics of its `/metrics`:
    gauges by name (mean over labels), counters by name (sum over labels) and their rate per second as `<name>:rate`; a
    histogram's `_sum` and `_count` are counters.
    """

    service_id: ServiceId
    session_id: SessionId
    kernel_id: KernelId
    kernel: dict[str, Value] = {}
    engine: dict[str, Value] = {}


class KernelMetrics(Message):
    """Agent → autoscaler: samples of all kernels of services on this machine."""

    subject: ClassVar = "metrics.kernel.{agent_id}"
    v: Literal[1] = 1
    agent_id: AgentId
    at: AwareDatetime
    samples: tuple[KernelSample, ...]


class ReplicaSample(Part):
    """Measurements of one replica by one app-proxy in the last interval.

    headrace_in_flight, headrace_requests_per_second, headrace_errors_per_second (5xx), headrace_bytes_sent_per_second,
    headrace_prompt_tokens_per_second and headrace_completion_tokens_per_second (from the engine's `usage`),
    headrace_duration_seconds, headrace_time_to_first_byte_seconds and headrace_time_per_event_seconds (between the
    events of a stream): means over the interval, absent if no request finished.
    """

    service_id: ServiceId
    session_id: SessionId
    values: dict[str, Value]


class ServiceSample(Part):
    """Measurements of one service by one app-proxy, beside those of its replicas.

    headrace_queued (queued requests), headrace_queue_seconds (mean wait of those that left the queue),
    headrace_refused_per_second (429 and 503 of the proxy). A rule sees their sum over the app-proxies (times: their
    mean), also while there is no replica.
    """

    service_id: ServiceId
    values: dict[str, Value]


class ProxyMetrics(Message):
    """App-proxy → autoscaler, each second. Values of several proxies are added per replica for counts and rates, averaged for times."""

    subject: ClassVar = "metrics.proxy.{proxy_id}"
    v: Literal[1] = 1
    proxy_id: ProxyId
    at: AwareDatetime
    samples: tuple[ReplicaSample, ...]
    services: tuple[ServiceSample, ...] = ()

"""The three last-value streams. The manager creates them; the others only read (see docs/adr on last-value streams)."""

from __future__ import annotations

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from headrace.common.bus.connect import Bus
from headrace.common.bus.subjects import STREAMS


async def ensure_streams(bus: Bus, *, replicas: int = 1, timeout_s: float = 10.0) -> None:
    """Create or update the streams, each kept by `replicas` servers of a cluster. Idempotent, and safe for concurrent managers."""
    js = JetStreamContext(bus.client, timeout=timeout_s)
    for name, message in STREAMS.items():
        config = StreamConfig(
            name=name,
            subjects=[message.wildcard()],
            max_msgs_per_subject=1,
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            storage=StorageType.FILE,
            num_replicas=replicas,
            allow_direct=True,
            max_msg_size=8 * 1024 * 1024,
        )
        try:
            await js.update_stream(config)
        except NotFoundError:
            await js.add_stream(config)

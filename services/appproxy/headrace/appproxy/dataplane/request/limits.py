"""Proxy limits and timeouts, from the settings."""

from __future__ import annotations

from headrace.appproxy.settings import Settings


class ProxyLimits:
    """Limits and timeouts from the settings of the same names (docs/settings.md) as plain attributes, which are faster
    to read.
    """

    __slots__ = (
        "caller_idle_timeout_s",
        "caller_user_timeout_s",
        "domain",
        "head_timeout_s",
        "keepalive_timeout_s",
        "max_body_bytes",
        "max_open_requests",
        "min_body_bytes_per_s",
        "replay_bytes",
        "replica_keepalive_s",
        "same_instant_s",
        "slow_body_grace_s",
        "trusted_peers",
    )

    def __init__(self, settings: Settings) -> None:
        self.caller_idle_timeout_s = settings.caller_idle_timeout_s
        self.caller_user_timeout_s = (
            max(settings.caller_tcp_user_timeout_s, 1.5 * settings.caller_idle_timeout_s)
            if settings.caller_tcp_user_timeout_s
            else 0.0
        )
        self.domain = settings.domain
        self.head_timeout_s = settings.head_timeout_s
        self.keepalive_timeout_s = settings.keepalive_timeout_s
        self.max_body_bytes = settings.max_body_bytes
        self.max_open_requests = settings.max_open_requests
        self.min_body_bytes_per_s = settings.min_body_bytes_per_s
        self.replay_bytes = settings.replay_bytes
        self.replica_keepalive_s = settings.replica_keepalive_s
        self.same_instant_s = settings.same_instant_s
        self.slow_body_grace_s = settings.slow_body_grace_s
        self.trusted_peers = settings.trusted_peers

"""Rollouts of services."""

from __future__ import annotations

from headrace.common.contracts.http.rollouts import Promote, RolloutMessage, RolloutView
from headrace.sdk.transport import Transport, segment


class Rollouts:
    """Client of `/v1/services/{service}/rollout`: the rollout of a service's current revision."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, service: object) -> RolloutView:
        """Return how the rollout stands."""
        return self._transport.one(RolloutView, "GET", _of(service))

    def pause(self, service: object, *, message: str = "", if_match: str | None = None) -> RolloutView:
        """Keep the replicas that the new revision has, and start no more, until it is resumed."""
        return self._change(service, "pause", RolloutMessage(message=message), if_match=if_match)

    def resume(self, service: object, *, if_match: str | None = None) -> RolloutView:
        """Let a paused rollout go on."""
        return self._transport.one(RolloutView, "POST", f"{_of(service)}/resume", if_match=if_match)

    def promote(self, service: object, *, full: bool = False, if_match: str | None = None) -> RolloutView:
        """Go on to the next canary step, with `full` to the end; or switch a blue-green rollout."""
        return self._change(service, "promote", Promote(full=full), if_match=if_match)

    def abort(self, service: object, *, message: str = "", if_match: str | None = None) -> RolloutView:
        """Make the revision that served the current one again; its replicas stay as they are."""
        return self._change(service, "abort", RolloutMessage(message=message), if_match=if_match)

    def _change(
        self, service: object, what: str, body: Promote | RolloutMessage, *, if_match: str | None = None
    ) -> RolloutView:
        return self._transport.one(RolloutView, "POST", f"{_of(service)}/{what}", body=body, if_match=if_match)


def _of(service: object) -> str:
    return f"/v1/services/{segment(service)}/rollout"

"""Services."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headrace.common.contracts.http.replicas import PutWeight, ReplicaView
from headrace.common.contracts.http.revisions import RevisionDetail, RevisionView, Rollback
from headrace.common.contracts.http.services import (
    CreateService,
    NameAvailability,
    ServiceDetail,
    ServiceView,
    UpdateService,
)
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.client import WaitReason
from headrace.common.contracts.vocabulary import RuntimeVariant, ServicePhase, ServiceSort, ServiceStatus, SortOrder
from headrace.sdk.errors import ApiError, WaitFailedError, WaitTimeoutError
from headrace.sdk.transport import Transport, segment
from headrace.sdk.waiting import Until, check_rollout, polled, reached

if TYPE_CHECKING:
    from headrace.common.contracts.http.decisions import ScaleDecisionView
    from headrace.common.contracts.http.history import HistoryEntry
    from headrace.common.contracts.http.receipts import ReceiptView, RolloutReceipt
    from headrace.common.contracts.http.resolutions import ResolutionView
    from headrace.common.contracts.http.service_lists import ServiceCounts
    from headrace.common.contracts.manifest import FolderManifest
    from headrace.sdk.logs import LogStream

_INCOMPLETE = Reason.of(
    WaitReason.RECEIPT_INCOMPLETE, "not all app-proxies have reported the outcomes of open requests"
)
_GONE = Reason.of(WaitReason.NOT_FOUND, "the service does not exist")


class Services:
    """Client of `/v1/services`: services, given by name or id."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, body: CreateService) -> ServiceDetail:
        """Create a service; it is deployed in the background: see wait()."""
        return self._transport.create(ServiceDetail, "/v1/services", body)

    def resolve(self, body: CreateService) -> ResolutionView:
        """Return what create() would come to, with all that is wrong with it; nothing is changed."""
        return self._resolution(create=body)

    def resolve_update(self, service: object, body: UpdateService) -> ResolutionView:
        """Return what update() would come to, with all that is wrong with it; nothing is changed."""
        return self._resolution(service=str(service), update=body)

    def _resolution(self, **asked: Any) -> ResolutionView:
        from headrace.common.contracts.http.resolutions import (  # noqa: PLC0415 - see client.py
            ResolutionView,
            Resolve,
        )

        return self._transport.one(ResolutionView, "POST", "/v1/resolutions", body=Resolve(**asked))

    def list(
        self,
        *,
        project: str | None = None,
        status: ServiceStatus | None = None,
        phase: ServicePhase | None = None,
        owner: str | None = None,
        q: str | None = None,
        mine: bool | None = None,
        tag: str | None = None,
        runtime: RuntimeVariant | None = None,
        folder: str | None = None,
        agent: str | None = None,
        sort: ServiceSort | None = None,
        order: SortOrder | None = None,
    ) -> Iterator[ServiceView]:
        """Yield the matching services that the caller may see, oldest first without `sort`. `q`: text in name, description,
        tags or metadata. `folder`: one that the current revision mounts. `agent`: machine on which a live replica is.
        """
        query = {"project": project, "status": status, "phase": phase, "owner": owner, "q": q, "mine": mine}
        query |= {"tag": tag, "runtime": runtime, "folder": folder, "agent": agent, "sort": sort, "order": order}
        return self._transport.items(ServiceView, "/v1/services", query)

    def counts(
        self,
        *,
        project: str | None = None,
        status: ServiceStatus | None = None,
        phase: ServicePhase | None = None,
        owner: str | None = None,
        q: str | None = None,
        mine: bool | None = None,
        tag: str | None = None,
        runtime: RuntimeVariant | None = None,
        folder: str | None = None,
        agent: str | None = None,
    ) -> ServiceCounts:
        """Return how many of the matching services have which status and phase."""
        from headrace.common.contracts.http.service_lists import ServiceCounts  # noqa: PLC0415 - see client.py

        query = {"project": project, "status": status, "phase": phase, "owner": owner, "q": q, "mine": mine}
        query |= {"tag": tag, "runtime": runtime, "folder": folder, "agent": agent}
        return self._transport.one(ServiceCounts, "GET", "/v1/services/counts", query=query)

    def get(self, service: object) -> ServiceDetail:
        """Return one service with its replicas and errors."""
        return self._transport.one(ServiceDetail, "GET", _of(service))

    def update(self, service: object, body: UpdateService, *, if_match: str | None = None) -> ServiceDetail:
        """Change the fields set in `body`; a new spec is rolled out without downtime."""
        return self._transport.one(ServiceDetail, "PATCH", _of(service), body=body, if_match=if_match)

    def scale(self, service: object, replicas: int, *, message: str = "") -> ServiceDetail:
        """Change the number of replicas."""
        return self.update(service, UpdateService(replicas=replicas, message=message))

    def delete(self, service: object, *, if_match: str | None = None) -> ServiceDetail | None:
        """Delete a service. Return None if it is gone at once; else it drains and stops first: see wait(until="gone")."""
        answer = self._transport.send("DELETE", _of(service), if_match=if_match)
        return ServiceDetail.model_validate_json(answer.content) if answer.content else None

    def available(self, name: str) -> NameAvailability:
        """Return whether a new service may have this name, with the reason if not."""
        return self._transport.one(NameAvailability, "GET", "/v1/services/available", query={"name": name})

    def start(self, service: object, *, if_match: str | None = None) -> ServiceDetail:
        """Start a stopped service."""
        return self._transport.one(ServiceDetail, "POST", f"{_of(service)}/start", if_match=if_match)

    def stop(self, service: object, *, if_match: str | None = None) -> ServiceDetail:
        """Drain and stop all replicas; everything else is kept."""
        return self._transport.one(ServiceDetail, "POST", f"{_of(service)}/stop", if_match=if_match)

    def restart(self, service: object, *, if_match: str | None = None) -> ServiceDetail:
        """Replace all replicas without downtime, as a new revision with the current spec."""
        return self._transport.one(ServiceDetail, "POST", f"{_of(service)}/restart", if_match=if_match)

    def retry(self, service: object, *, if_match: str | None = None) -> ServiceDetail:
        """Clear the errors and start failed replicas again; a changed model folder makes a new revision."""
        return self._transport.one(ServiceDetail, "POST", f"{_of(service)}/retry", if_match=if_match)

    def rollback(
        self, service: object, revision: int, *, message: str = "", if_match: str | None = None
    ) -> ServiceDetail:
        """Roll out an earlier revision again."""
        body = Rollback(revision=revision, message=message)
        return self._transport.one(ServiceDetail, "POST", f"{_of(service)}/rollback", body=body, if_match=if_match)

    def revisions(self, service: object) -> Iterator[RevisionView]:
        """Yield the revisions."""
        return self._transport.items(RevisionView, f"{_of(service)}/revisions")

    def revision(self, service: object, number: int) -> RevisionDetail:
        """Return one revision, with the effective spec of its replicas."""
        return self._transport.one(RevisionDetail, "GET", f"{_of(service)}/revisions/{number}")

    def manifest(self, service: object, number: int) -> FolderManifest:
        """Return the files that the revision's replicas see as model folder, with size and SHA-256. ApiError `not-found`
        for a revision without a model folder, or from before there were snapshots.
        """
        from headrace.common.contracts.manifest import FolderManifest  # noqa: PLC0415 - see client.py

        return self._transport.one(FolderManifest, "GET", f"{_of(service)}/revisions/{number}/manifest")

    def history(self, service: object) -> Iterator[HistoryEntry]:
        """Yield the changes, newest first."""
        from headrace.common.contracts.http.history import HistoryEntry  # noqa: PLC0415 - see client.py

        return self._transport.items(HistoryEntry, f"{_of(service)}/history")

    def decisions(self, service: object) -> Iterator[ScaleDecisionView]:
        """Yield the changes of the number of replicas, newest first."""
        from headrace.common.contracts.http.decisions import ScaleDecisionView  # noqa: PLC0415 - see client.py

        return self._transport.items(ScaleDecisionView, f"{_of(service)}/decisions")

    def replica(self, service: object, replica: UUID | str) -> ReplicaView:
        """Return one replica, also one that ended, as long as it is kept; its `revision` has the spec that it ran."""
        return self._transport.one(ReplicaView, "GET", f"{_of(service)}/replicas/{segment(replica)}")

    def set_weight(self, service: object, replica: UUID | str, weight: int) -> ReplicaView:
        """Set a replica's traffic weight relative to the others' (100 is usual); app-proxies apply it within a second."""
        path = f"{_of(service)}/replicas/{segment(replica)}/weight"
        return self._transport.one(ReplicaView, "PUT", path, body=PutWeight(weight=weight))

    def replace(self, service: object, replica: UUID | str, *, message: str = "") -> ReplicaView:
        """Have another replica start in this one's place; this one drains once that serves. Asked twice it is once."""
        from headrace.common.contracts.http.rollouts import RolloutMessage  # noqa: PLC0415 - see client.py

        path = f"{_of(service)}/replicas/{segment(replica)}/replace"
        return self._transport.one(ReplicaView, "POST", path, body=RolloutMessage(message=message))

    def receipts(self, service: object, *, revision: int | None = None) -> Iterator[ReceiptView]:
        """Yield the receipts of replicas that left (of `revision`), newest first: what became of their open
        requests.
        """
        from headrace.common.contracts.http.receipts import ReceiptView  # noqa: PLC0415 - see client.py

        return self._transport.items(ReceiptView, f"{_of(service)}/receipts", {"revision": revision})

    def rollout_receipt(self, service: object, revision: int) -> RolloutReceipt:
        """Return the receipt of the rollout of this revision, as far as known."""
        return self._receipt(service, revision)

    def _receipt(self, service: object, revision: int, *, patience_s: float | None = None) -> RolloutReceipt:
        from headrace.common.contracts.http.receipts import RolloutReceipt  # noqa: PLC0415 - see client.py

        path = f"{_of(service)}/revisions/{revision}/receipt"
        return self._transport.one(RolloutReceipt, "GET", path, patience_s=patience_s)

    def wait_for_receipt(
        self,
        service: object,
        revision: int,
        *,
        timeout_s: float = 600.0,
        every_s: float = 0.5,
        linger_s: float = 5.0,
        progress: Callable[[RolloutReceipt], None] | None = None,
    ) -> RolloutReceipt:
        """Return the rollout's receipt once it is complete.

        It may be incomplete `linger_s` after the last drain ended (an app-proxy fell silent), and after `timeout_s`.
        """
        receipt = None
        still_until: float | None = None
        seen = polled(
            lambda: self._receipt(service, revision, patience_s=0),
            reason=lambda _: _INCOMPLETE,
            what=f"receipt of {service}",
            timeout_s=timeout_s,
            every_s=every_s,
            transport=self._transport,
        )
        try:
            for receipt in seen:
                if progress is not None:
                    progress(receipt)
                now = time.monotonic()
                still_until = None if receipt.draining else still_until or now + linger_s
                if receipt.complete or (still_until is not None and now >= still_until):
                    return receipt
        except WaitTimeoutError:
            if receipt is None:
                raise
        assert receipt is not None  # noqa: S101 - polled() ends only by raising
        return receipt

    def logs(
        self,
        service: object,
        *,
        replica: UUID | str | None = None,
        tail: int = 2000,
        follow: bool = False,
        everything: bool = False,
        on_notice: Callable[[str], None] | None = None,
    ) -> LogStream:
        """Return an iterator over log lines, `<UTC timestamp> <text>`; without `replica` of all, prefixed with the
        replica's id.

        Yields the last `tail` lines of each replica, or `everything` that is stored; with `follow` also new ones, until
        close(). While following, a lost connection is made again and the log is resumed; `on_notice` is called with messages
        about it.
        """
        from headrace.sdk.logs import LogStream  # noqa: PLC0415 - see client.py

        query = {
            "replica": None if replica is None else str(replica),
            "tail": None if everything else tail,
            "download": "all" if everything else None,
            "follow": follow,
        }
        return LogStream(self._transport, f"{_of(service)}/logs", query, follow=follow, on_notice=on_notice)

    def watch(
        self,
        service: object,
        until: Until = "healthy",
        *,
        revision: int | None = None,
        timeout_s: float = 600.0,
        every_s: float = 0.5,
    ) -> Iterator[ServiceDetail]:
        """Yield the service every `every_s`; end once it is healthy (and deployed), stopped or gone.

        Raises WaitFailedError if it failed, with the server's reason, or is gone (unless waited for), or the rollout of
        `revision` failed and was rolled back; WaitTimeoutError after `timeout_s`. An unreachable server is waited for.
        """
        seen = polled(
            lambda: self._get_or_none(service),
            reason=lambda found: found.reason if found else _GONE,
            what=f"{service} {until}",
            timeout_s=timeout_s,
            every_s=every_s,
            transport=self._transport,
        )
        for found in seen:
            if found is None:
                if until == "gone":
                    return
                raise WaitFailedError(f"{service} does not exist", reason=_GONE)
            yield found
            if revision is not None:
                check_rollout(found, revision)
            if reached(found, until):
                return

    def wait(
        self,
        service: object,
        until: Until = "healthy",
        *,
        revision: int | None = None,
        timeout_s: float = 600.0,
        every_s: float = 0.5,
        progress: Callable[[ServiceDetail], None] | None = None,
    ) -> ServiceDetail | None:
        """Return the service once it is healthy, stopped or (None) gone; `progress` is called with each poll. Errors as
        of watch().
        """
        last: ServiceDetail | None = None
        for found in self.watch(service, until, revision=revision, timeout_s=timeout_s, every_s=every_s):
            last = found
            if progress is not None:
                progress(found)
        return None if until == "gone" else last

    def failed_replicas(self, service: object) -> builtins.list[UUID]:
        """Return the ids of replicas that failed to start, newest first: their logs have the cause."""
        errors = sorted(self.get(service).errors, key=lambda error: error.at, reverse=True)
        return builtins.list(dict.fromkeys(error.session_id for error in errors))

    def _get_or_none(self, service: object) -> ServiceDetail | None:
        try:  # the wait has a time-out of its own
            return self._transport.one(ServiceDetail, "GET", _of(service), patience_s=0)
        except ApiError as error:
            if error.status == 404:
                return None
            raise


def _of(service: object) -> str:
    return f"/v1/services/{segment(service)}"

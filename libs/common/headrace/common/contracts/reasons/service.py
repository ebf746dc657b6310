"""Why a service is in the state in which it is; what is said of a change, a name and a revocation."""

from __future__ import annotations

from headrace.common.contracts.reasons import ReasonCode


class ServiceReason(ReasonCode):
    """Services: why a service has its status and phase.

    While replicas are starting it is the reason of the one that is furthest from serving: of its kernel, its session,
    or its placement.
    """

    ALL_HEALTHY = "all-healthy", "as many replicas serve as are wanted"
    RESTARTED_LATELY = "restarted-lately", "as many replicas serve as are wanted, and one ended in operation recently"
    SCALED_TO_ZERO = "scaled-to-zero", "no replicas are wanted"
    STARTING = "starting", "replicas are about to be started"
    START_FAILED_RETRYING = "start-failed-retrying", "a start failed, and another one is tried after a back-off"
    START_FAILED = "start-failed", "too many starts failed in a row, and none is tried until a user retries"
    ROLLOUT_FAILED = "rollout-failed", "too many starts of a new revision failed: the previous revision serves"
    ENDED_RESTARTING = "ended-restarting", "a replica ended in operation, and its replacement starts after a back-off"
    STOPPING = "stopping", "it was stopped, and replicas are still draining or stopping"
    STOPPED = "stopped", "it was stopped by a user"
    DELETING = "deleting", "it was deleted, and replicas are still draining or stopping"
    NOT_HANDLED = "not-handled", "its stored data cannot be read, so its replicas are not reconciled"
    APP_PROXY_AWAY = "app-proxy-away", "no app-proxy reports, so callers cannot reach the service"
    APP_PROXY_BEHIND = "app-proxy-behind", "an app-proxy has not applied the newest route table"
    BUS_AWAY = (
        "bus-away",
        "the manager is disconnected from the message bus, and does not know whether callers reach the service",
    )
    ENDPOINT_PORT_FAILED = "endpoint-port-failed", "an app-proxy could not open the service's own port"
    ROUTE_TABLE_NOT_BUILT = "route-table-not-built", "its route table cannot be built, and the previous one is in force"
    RULE_TABLE_NOT_BUILT = "rule-table-not-built", "its rules cannot be published, and the previous ones are in force"


class EndpointReason(ReasonCode):
    """Endpoint URLs: whether every app-proxy serves the service there."""

    SERVED = "served", "every app-proxy serves the service there"
    APP_PROXIES_UNKNOWN = (
        "app-proxies-unknown",
        "the manager has just started or reconnected, and waits for the app-proxies' reports",
    )
    APP_PROXY_AWAY = "app-proxy-away", "no app-proxy reports"
    APP_PROXY_BEHIND = "app-proxy-behind", "an app-proxy has no route table of the service yet"
    BUS_AWAY = "bus-away", "the manager is disconnected from the message bus, and does not know"
    ENDPOINT_PORT_OPENING = "endpoint-port-opening", "an app-proxy has not opened the service's own port yet"
    ENDPOINT_PORT_FAILED = "endpoint-port-failed", "an app-proxy could not open the service's own port"
    DOMAIN_MISSING = "domain-missing", "an app-proxy serves no host names of this domain"


class NoteReason(ReasonCode):
    """Notes: remarks in the response to a change."""

    UNCHANGED = "unchanged", "the change is equal to the current spec, so there is no new revision"
    DEFINITION_READ_AGAIN = "definition-read-again", "the model folder was read again, and its files have changed"
    SLOT_UNKNOWN = "slot-unknown", "no machine has a slot of this name: it may be mistyped, or come with a machine"


class NameReason(ReasonCode):
    """Names: whether a service may have this name."""

    NAME_FREE = "name-free", "no service has this name"
    NAME_TAKEN = "name-taken", "another service has this name"
    NAME_RESERVED = "name-reserved", "the name is reserved"


class RevocationReason(ReasonCode):
    """Revocations: where a revoked token or client is refused already."""

    IN_FORCE = "in-force", "every app-proxy refuses it"
    NOT_IN_FORCE = "not-in-force", "some app-proxies have not applied it"
    APP_PROXIES_UNKNOWN = (
        "app-proxies-unknown",
        "the manager has just started or reconnected, and waits for the app-proxies' reports",
    )
    APP_PROXY_AWAY = "app-proxy-away", "the app-proxy (or every one) does not report"
    APP_PROXY_BEHIND = "app-proxy-behind", "the app-proxy has not applied it"
    BUS_AWAY = "bus-away", "the manager is disconnected from the message bus, so no app-proxy learns of it"
    NOT_FOLLOWED = "not-followed", "it was revoked more than a day ago, or granted access to no service"
    NOT_TOLD = "not-told", "the manager's version does not report where it is in force"

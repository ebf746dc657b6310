"""Why a service is in the state in which it is; what is said of a change, a name and a revocation."""

from __future__ import annotations

from headrace.common.contracts.reasons import ReasonCode


class ServiceReason(ReasonCode):
    """Services: why a service has its status and phase.

    While replicas are starting it is the reason of the one that is furthest from serving: of its kernel, its session,
    or its placement.
    """

    ALL_HEALTHY = "all-healthy", "as many replicas serve as are wanted"
    RESTARTED_LATELY = "restarted-lately", "as many serve as are wanted, and one ended in operation a while ago"
    SCALED_TO_ZERO = "scaled-to-zero", "no replicas are wanted"
    STARTING = "starting", "replicas are about to be started"
    START_FAILED_RETRYING = "start-failed-retrying", "a start failed, and another is tried after a pause"
    START_FAILED = "start-failed", "so many starts failed in a row that no more are tried until somebody retries"
    ROLLOUT_FAILED = "rollout-failed", "the same of a rollout: the revision before it serves"
    ENDED_RESTARTING = "ended-restarting", "a replica ended in operation, and its replacement starts after a pause"
    STOPPING = "stopping", "it was stopped, and replicas are still on their way out"
    STOPPED = "stopped", "it was stopped by a user"
    DELETING = "deleting", "it was deleted, and replicas are still on their way out"
    NOT_HANDLED = "not-handled", "what is stored of it cannot be read, so its replicas are not looked after"
    APP_PROXY_AWAY = "app-proxy-away", "no app-proxy is heard of, so callers reach nobody"
    APP_PROXY_BEHIND = "app-proxy-behind", "an app-proxy has not applied the newest route table"
    BUS_AWAY = "bus-away", "the manager is cut off from the message bus, and cannot tell whether callers get through"
    ENDPOINT_PORT_FAILED = "endpoint-port-failed", "an app-proxy could not open the service's own port"
    ROUTE_TABLE_NOT_BUILT = "route-table-not-built", "its route table cannot be made, and the one before is in force"
    RULE_TABLE_NOT_BUILT = "rule-table-not-built", "its rules cannot be published, and those before are in force"


class NoteReason(ReasonCode):
    """Notes: remarks in the response to a change."""

    UNCHANGED = "unchanged", "the change asks for what is so already, so there is no new revision"
    DEFINITION_READ_AGAIN = "definition-read-again", "the definition files were read again, and they have changed"
    SLOT_UNKNOWN = "slot-unknown", "no machine has a slot of this name: it may be mistyped, or come with a machine"


class NameReason(ReasonCode):
    """Names: whether a service may have this name."""

    NAME_FREE = "name-free", "no service is called so"
    NAME_TAKEN = "name-taken", "there is a service of this name"
    NAME_RESERVED = "name-reserved", "no service may be called so"


class RevocationReason(ReasonCode):
    """Revocations: where a revoked token or client is refused already."""

    IN_FORCE = "in-force", "every app-proxy refuses it"
    NOT_IN_FORCE = "not-in-force", "some app-proxies have not applied it"
    APP_PROXIES_UNKNOWN = "app-proxies-unknown", "the manager has not had the time to hear of all app-proxies"
    APP_PROXY_AWAY = "app-proxy-away", "the app-proxy (or every one) is not heard of"
    APP_PROXY_BEHIND = "app-proxy-behind", "the app-proxy has not applied it"
    BUS_AWAY = "bus-away", "the manager is cut off from the message bus, so no app-proxy hears of it"
    NOT_FOLLOWED = "not-followed", "it was revoked more than a day ago, or opened no service"
    NOT_TOLD = "not-told", "the manager is of a version that does not say where it is in force"

"""Why a part of an installation, or all of it, is not as it should be."""

from __future__ import annotations

from headrace.common.contracts.reasons import ReasonCode


class InstallationReason(ReasonCode):
    """Parts of an installation (`headrace status`): why one is not `up`; and of the installation as a whole."""

    SILENT = "silent", "it has not reported for longer than it should, and did not say that it stops"
    STOPPED_IN_ORDER = "stopped-in-order", "it said that it stops, and has not been started since"
    CUT_OFF = "cut-off", "nothing is known of it at present: no manager is connected to NATS, over which it reports"
    NOT_HEARD_YET = "not-heard-yet", "it has not reported since managers started, a few seconds ago; no trouble yet"
    NOT_READY = "not-ready", "one of its readiness checks fails; the text has the check and its error"
    WARNING = "warning", "it works, and one of its readiness checks warns; the text has the check and its error"
    UNREACHABLE = "unreachable", "the store does not answer; the text says whom, and since when"
    NOT_WRITABLE = "not-writable", "the store answers, but takes no writes: it is a standby"
    COPIES_BEHIND = "copies-behind", "fewer servers of the NATS cluster have a current copy of a stream than should"
    NOT_REPORTED = "not-reported", "nobody reports of it: an autoscaler would, and none does"
    MACHINE_LOST = "machine-lost", "the machine is silent; its replicas are being replaced elsewhere"
    MACHINE_DISK_LOW = "machine-disk-low", "the machine has less room on a disk than its reserve; it starts no replicas"
    MACHINE_ADDRESS = (
        "machine-address",
        "the machine reports an address that is not allowed; its replicas get no requests",
    )
    MACHINE_PLAN = "machine-plan", "the machine's newest plan cannot be built; it keeps the one before"
    NO_APP_PROXY = "no-app-proxy", "no app-proxy works: callers may reach nothing"
    NO_AUTOSCALER = "no-autoscaler", "no autoscaler works: no rule is evaluated, replicas stay as many as they are"
    VERSIONS_DIFFER = "versions-differ", "parts have different versions, as during an upgrade"

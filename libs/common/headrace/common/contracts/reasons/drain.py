"""Why a service still has replicas on a machine that is being drained."""

from __future__ import annotations

from headrace.common.contracts.reasons import ReasonCode


class DrainReason(ReasonCode):
    """Drains of machines: why a service still has replicas there."""

    WAITING_TURN = "waiting-turn", "services move one after the other, and it is not its turn yet"
    MOVING = "moving", "replacements are starting on other machines"
    LEAVING = "leaving", "its replicas there finish their open requests, or are being stopped"
    NO_MACHINE = "no-machine", "a replacement finds no machine; the text has the numbers of placement"
    STARTS_FAIL = "starts-fail", "replacements do not start, so the replicas there are kept"
    TRIAL_RUN = "trial-run", "a trial run runs there; it ends by itself"
    AGENT_LOST = "agent-lost", "the machine is silent: what it holds is free once it reports, or is removed by force"
    SLOTS_HELD = "slots-held", "the machine still shows what was stopped there"

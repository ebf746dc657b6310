"""Why replicas were changed, and why an autoscaling rule does not fire."""

from __future__ import annotations

from headrace.common.contracts.reasons import ReasonCode


class ScalingReason(ReasonCode):
    """Scaling: of rule evaluations, of the manager's answers to scale requests, and of decisions."""

    # decisions
    RULE_FIRED = "rule-fired", "the rule's condition is met, and it changes the number of replicas"
    ASKED_BY_USER = "asked-by-user", "a user asked for another number"

    # why a rule does not fire
    RULE_DISABLED = "rule-disabled", "the rule is disabled"
    SERVICE_INACTIVE = "service-inactive", "the service is stopped or being deleted"
    CONDITION_NOT_MET = "condition-not-met", "the metric does not cross the threshold"
    METRIC_MISSING = "metric-missing", "the metric was not reported recently"
    NO_LIVE_REPLICAS = "no-live-replicas", "no live replica reports the metric"
    COOLING_DOWN = "cooling-down", "the rule fired less than its cooldown ago"
    ABOVE_MAXIMUM = "above-maximum", "it would exceed the rule's maximum"
    BELOW_MINIMUM = "below-minimum", "it would go below the rule's minimum"
    HELD_BY_SCALE_OUT = "held-by-scale-out", "a scale-out rule of the service prevents scale-ins"
    OUTVOTED = "outvoted", "another rule of the service has the larger step, or comes first"
    AWAITING_ANSWER = "awaiting-answer", "the manager's answer to an earlier request is not known"
    LEASE_LOST = "lease-lost", "another autoscaler may evaluate the service by now"
    REDIS_AWAY = "redis-away", "rules are not evaluated while Redis does not answer"

    # it fired, and was not applied
    REFUSED = "refused", "the manager refused; its reason is in the text"
    MANAGER_AWAY = "manager-away", "no manager is reachable"
    NO_ANSWER = "no-answer", "the manager did not answer; the change may have been made"

    # why the manager refuses a rule's change
    SERVICE_GONE = "service-gone", "there is no such service"
    SERVICE_NOT_RUNNING = "service-not-running", "the service is stopped or being deleted"
    RULE_GONE = "rule-gone", "the rule was removed"
    WANTED_CHANGED = "wanted-changed", "the number of replicas changed since the rule was evaluated"
    TOO_MANY_REPLICAS = "too-many-replicas", "it is above the limit of replicas of a service"
    QUOTA_EXCEEDED = "quota-exceeded", "the project would exceed its quota"

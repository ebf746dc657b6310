"""Limits of callers: judged over all app-proxies together where there is a Redis, else by each worker for its part."""

from headrace.appproxy.limits.callers import CallerLimits

__all__ = ["CallerLimits"]

"""Closed sets of words that contracts and decisions share.

REST models, bus messages and stored rows all spell them so; decisions know the words without knowing the models.
"""

from __future__ import annotations

from typing import Literal

Role = Literal["owner", "member", "viewer"]
"""Role of a user in a project. Each includes the next: owner, member, viewer."""

UsageMode = Literal["model", "data", "general"]
"""Purpose of a folder."""

FileKind = Literal["file", "directory", "link", "special"]
"""Type of a folder's entry. Links and special files (pipes, sockets, devices) are neither read nor followed."""

RuntimeVariant = Literal["vllm", "sglang", "nim", "huggingface-tgi", "llama-cpp", "cmd", "custom"]
"""Runtime variant: how a model is started."""

ServiceStatus = Literal["healthy", "degraded", "unhealthy"]
"""Status: whether a service can serve."""

ServicePhase = Literal["deploying", "deployed", "stopping", "stopped", "failed"]
"""Phase: whether a service has reached its desired state."""

SessionStatus = Literal["pending", "placed", "running", "draining", "stopping", "ended"]
"""pending: waits for a machine. placed: in a machine's plan. running: its main kernel runs. draining, stopping, ended:
on the way out."""

KernelState = Literal["preparing", "running", "exited", "failed"]
"""preparing: pulling, mounting, pre-start actions. failed: it could not be started. exited: it ran and ended."""

HealthStatus = Literal["degraded", "healthy", "unhealthy"]
"""Result of a kernel's health checks."""

"""Closed sets of words that contracts and decisions share.

REST models, bus messages and stored rows all spell them so; decisions know the words without knowing the models.
"""

from __future__ import annotations

from typing import Literal

Role = Literal["owner", "member", "viewer"]
"""Of a user in a project. They contain each other: an owner may do what a member may, a member what a viewer may."""

UsageMode = Literal["model", "data", "general"]
"""What a folder is for."""

FileKind = Literal["file", "directory", "link", "special"]
"""Of what lies in a folder. Links and special files (pipes, sockets, devices) are neither read nor followed."""

RuntimeVariant = Literal["vllm", "sglang", "nim", "huggingface-tgi", "llama-cpp", "cmd", "custom"]
"""How a model is started."""

ServiceStatus = Literal["healthy", "degraded", "unhealthy"]
"""Whether a service can serve."""

ServicePhase = Literal["deploying", "deployed", "stopping", "stopped", "failed"]
"""Whether a service is where it was told to be."""

SessionStatus = Literal["pending", "placed", "running", "draining", "stopping", "ended"]
"""pending: waits for a machine. placed: in a machine's plan. running: its main kernel runs. draining, stopping, ended: on the way out."""

"""Errors of joining, as one line for people."""

from __future__ import annotations


class JoinError(Exception):
    """A machine cannot join; `str()` says what was found and what to do, without a secret."""


class JoinRefusedError(JoinError):
    """The manager refuses to join the machine: nothing of it was kept there."""

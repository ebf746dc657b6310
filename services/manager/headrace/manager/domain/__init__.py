"""Decisions of the manager: pure functions."""

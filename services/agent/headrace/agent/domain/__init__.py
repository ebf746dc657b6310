"""Decisions of the agent: pure functions."""

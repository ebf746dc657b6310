"""Decisions of the autoscaler: pure functions, with the current time as an argument."""

"""Decisions of the traffic path: pure, without event loop, clock, chance or log."""

"""Decisions, all pure: the same input gives the same answer."""

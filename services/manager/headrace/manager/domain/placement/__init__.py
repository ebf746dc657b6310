"""Placement: which machine a session goes to, and why it waits."""

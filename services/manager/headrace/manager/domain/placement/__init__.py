"""Placement (scheduling): the machine of a session, or the reason why it has none."""

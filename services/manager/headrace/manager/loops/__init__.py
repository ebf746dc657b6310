"""Loops: each observes all of its state, decides purely, and acts idempotently. One module per loop."""

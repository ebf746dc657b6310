"""Loops: each reads the whole of what it looks at, decides purely, and acts idempotently. One module per loop."""

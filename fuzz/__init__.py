"""Fuzzing of the app-proxy's framing: what must hold for every sequence of bytes."""

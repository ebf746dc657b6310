"""The loop that evaluates rules."""

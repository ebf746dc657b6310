"""How a service runs: loops, ordered start and stop, settings."""

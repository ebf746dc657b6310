"""Docker runtime: a container per kernel."""

"""Upstream: replicas and the connections to them; what is sent on them is decided in `request`."""

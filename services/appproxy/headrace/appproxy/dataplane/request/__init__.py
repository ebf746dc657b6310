"""Requests: a downstream connection, its exchanges, attempts on replicas, and the relay of the response."""

"""Statistics, access log and traces of requests."""

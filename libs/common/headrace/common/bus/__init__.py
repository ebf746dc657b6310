"""NATS: connection, last values, request/reply."""

"""Connections to replicas: made, kept, and read; what is sent on them is decided in `traffic`."""

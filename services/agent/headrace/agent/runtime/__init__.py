"""Runtimes: one interface, and implementations with Docker containers and with plain processes."""

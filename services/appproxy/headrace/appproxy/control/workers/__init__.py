"""Supervision of the worker processes: start, tables and sockets, watchdog, replacement."""

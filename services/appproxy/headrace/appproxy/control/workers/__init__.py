"""Supervision of the worker processes: started, given tables and sockets, watched, replaced."""

"""Kernels as child processes, for trying out and for tests: no isolation."""

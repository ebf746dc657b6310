"""Loops: observe, decide, act."""

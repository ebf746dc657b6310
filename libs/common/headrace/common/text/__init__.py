"""Texts that people write, read with bounds."""

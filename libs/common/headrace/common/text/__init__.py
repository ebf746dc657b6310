"""Bounded parsers of texts that people write."""

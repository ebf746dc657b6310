"""Parsers of definition files: return values, or every error with its path in the file."""

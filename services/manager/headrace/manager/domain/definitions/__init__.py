"""Definition files: text in, values out, or every error with its path in the file."""

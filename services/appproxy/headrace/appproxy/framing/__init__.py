"""Bytes to HTTP/1.x messages and back: strict, exact, without policy. llhttp reads heads; bodies are counted here."""

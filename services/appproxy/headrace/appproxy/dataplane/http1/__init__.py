"""HTTP/1.x messages from bytes and back: strict, exact, without policy. llhttp reads heads; bodies are counted here."""

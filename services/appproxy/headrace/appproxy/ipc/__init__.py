"""Messages between the parent and its workers, and the channel that carries them. Depends on neither side."""

"""Messages between the parent and its workers, and the channel that carries them. Knows neither side."""

"""What parent and workers say to each other. Knows neither side."""

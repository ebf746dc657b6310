"""HTTP/1.x parsers: strict, exact, without policy. llhttp parses heads; bodies are parsed here."""

"""Header fields: rewriting, identity, client address, CORS. Pure."""

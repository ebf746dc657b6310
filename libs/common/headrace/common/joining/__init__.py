"""How a machine joins an installation, and keeps its identity on the bus."""

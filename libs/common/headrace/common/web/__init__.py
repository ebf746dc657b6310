"""aiohttp application parts shared by all services."""

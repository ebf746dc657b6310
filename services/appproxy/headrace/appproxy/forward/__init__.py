"""The forwarder, on aiohttp for now: the only part that knows which HTTP library is below."""

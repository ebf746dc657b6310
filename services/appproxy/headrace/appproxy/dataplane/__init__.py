"""The data plane, which forwards requests: everything in this folder is compiled, shares nothing with aiohttp or the bus, and is made of layers."""

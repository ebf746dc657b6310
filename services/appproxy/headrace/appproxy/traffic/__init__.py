"""One caller connection, one request, one answer: the way through the proxy. Policy lies in `domain`, bytes in `framing`."""

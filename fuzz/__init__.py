"""Fuzz targets of the app-proxy's HTTP/1 parsers: properties that must hold for every sequence of bytes."""

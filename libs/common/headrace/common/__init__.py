"""Shared by every service: contracts, database, bus, web, runtime and observability parts."""

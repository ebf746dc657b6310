"""The app-proxy: the HTTP reverse proxy before all services.

It serves from its last route tables, even if all other services are down.
"""

"""The app-proxy: the HTTP reverse proxy before all services.

It serves from the last route table it got, whoever else is unavailable.
"""

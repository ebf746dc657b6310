"""Upstream: replicas and connections to them; `request` decides what is sent."""

"""Inbox: subscriptions and requests on the bus (reports, scale requests, logs). Pokes loops by name, and imports none."""

"""Authentication and authorisation of requests, offline, from the route table alone."""

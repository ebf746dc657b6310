"""Rate limits of callers: shared by all app-proxies with Redis, else enforced by each worker for its part."""

"""Rate limits of callers: shared by all app-proxies where there is a Redis, else by each worker for its part."""

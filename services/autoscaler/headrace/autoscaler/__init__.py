"""The autoscaler: metric samples → time windows in Redis → rules → scale requests to the manager."""

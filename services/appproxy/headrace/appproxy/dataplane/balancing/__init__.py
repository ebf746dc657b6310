"""Which replica gets a request, or why none does: load balancing, outlier detection, queueing, retries."""

"""Choice of a replica, or the reason of a refusal: load balancing, outlier detection, queueing, retries."""

"""A worker process: one data plane, and its end of the channel to the parent."""

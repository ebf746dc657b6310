"""A worker process: one data plane, and what it says to its parent."""

"""The life of sessions: states and transitions, what to do about replicas, status of services, trial runs, drains."""

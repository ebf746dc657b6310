"""The embedded stack: real PostgreSQL, NATS and Valkey as child processes, and the supervisor behind `headrace up`."""

"""Process runtime: a child process per kernel, without isolation; for trying out and for tests."""

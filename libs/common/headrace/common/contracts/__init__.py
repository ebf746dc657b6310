"""Contracts between services: ids, problems, bus messages, REST models. Schemas are snapshotted in tests/contracts."""

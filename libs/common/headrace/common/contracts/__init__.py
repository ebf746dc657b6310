"""What services say to each other: ids, problems, bus messages, REST models. Schemas are snapshotted in tests/contracts."""

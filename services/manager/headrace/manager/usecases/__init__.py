"""Use cases: authorise, decide, one transaction with its history event."""

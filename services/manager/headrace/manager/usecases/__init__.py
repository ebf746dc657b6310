"""What callers may do: authorise, decide, one transaction with its event."""

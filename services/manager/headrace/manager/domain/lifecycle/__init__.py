"""Session lifecycle: states and transitions, replica decisions, service status, trial runs, receipts of drains."""

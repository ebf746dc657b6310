"""The agent: runs on one machine what the newest plan says, and reports what it sees."""

"""Bus messages; each class owns its subject."""

"""SSH signatures and keys. Independent of results."""

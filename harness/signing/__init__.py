"""SSH signatures and keys. Nothing here knows what a result is."""

"""Probes: features and labels in, predictions out. No files and no games here."""

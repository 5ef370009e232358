"""The encoder's process, its sandbox, and the pipes to the harness."""

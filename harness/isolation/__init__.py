"""The encoder's own process, its sandbox, and the pipes between it and the harness."""

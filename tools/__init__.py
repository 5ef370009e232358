"""Scripts that make this repository's own documents; not part of the wheel."""

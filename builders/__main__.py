"""``python -m builders`` is the command ``atariari-data``."""

from builders.cli import main

main()

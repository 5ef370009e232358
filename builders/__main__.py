"""``python -m builders`` is the command ``atariari-data``."""

from builders.cli.main import main

main()

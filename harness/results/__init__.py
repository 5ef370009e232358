"""Results: the file, its checks, its means, and comparisons. No torch and no emulator here."""

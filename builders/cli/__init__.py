"""The command line of the dataset."""

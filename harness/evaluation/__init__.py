"""Evaluation: embed the frames of each game once, fit the probes, and put the result together."""

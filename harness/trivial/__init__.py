"""Trivial encoders, which every score stands beside: PCA and a random projection of the pixels.

- `harness.trivial.encoders`: what they are.
- `harness.evaluation.trivial`: how their scores are made, a game at a time: ``harness trivial``.
- `harness.trivial.store`: the scores that are kept in this package, ``scores/GAME.json``.
"""

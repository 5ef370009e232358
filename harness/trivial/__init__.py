"""Trivial encoders that every score is compared with: PCA and a random projection of the pixels.

- `harness.trivial.encoders`: the encoders.
- `harness.evaluation.trivial`: computes their scores, as ``harness trivial``.
- `harness.trivial.store`: the scores in this package, ``scores/GAME.json``.
"""

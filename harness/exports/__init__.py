"""A verified result in the formats of other tools, for ``harness export``."""

from __future__ import annotations

from typing import Final

FORMATS: Final = {
    "csv": "harness.exports.export:to_csv",
    "every-eval-ever": "harness.exports.every_eval_ever:to_every_eval_ever",
    "hf-eval-results": "harness.exports.hugging_face:to_eval_results",
    "in-toto": "harness.exports.in_toto:to_in_toto",
    "model-card": "harness.exports.hugging_face:to_model_card",
}
"""Where the function of each format is."""

DATASET: Final = "atariari/atariari"
"""The dataset's default name on the Hugging Face Hub."""

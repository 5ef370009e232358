"""Principal components of the pixels, fitted with scikit-learn on a game's pretraining split.

Run this file to fit them, then evaluate it:

    python examples/sklearn_pca.py pong
    harness evaluate examples/sklearn_pca.py --games pong --pretraining-data "2,000 frames of pong_pretrain"

An encoder's process cannot read the dataset, so the fitted components are kept in a file beside this one.
"""

import sys
from pathlib import Path

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

FITTED = Path(__file__).with_suffix(".joblib")


def fit(game: str, frames: int = 2_000, components: int = 32) -> None:
    """Fit the components on gray frames of a game, and write them to `FITTED`."""
    from atariari_data import load_dataset

    rows = load_dataset("atariari", f"{game}_pretrain", split="train")
    chosen = rows.select(np.linspace(0, len(rows) - 1, min(frames, len(rows))).astype(int))
    pixels = np.stack([np.asarray(row["frame"].convert("L"), np.float32).ravel() / 255 for row in chosen])
    joblib.dump(PCA(components, svd_solver="randomized", random_state=0).fit(pixels), FITTED)


def load_encoder() -> Pipeline:
    """Return the fitted transformer, which takes gray frames, float32 [n, 33600] in 0..1."""
    return make_pipeline(FunctionTransformer(_single), joblib.load(FITTED))


def _single(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(pixels, np.float32)


if __name__ == "__main__":
    fit(sys.argv[1])

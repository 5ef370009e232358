"""Show results: as an HTML page, as CSV, as a DataFrame, in a tracker.

- :func:`to_frame`, :func:`write_csv`: one row per game, probe, training size and variable.
- :mod:`harness.report.page`: a self-contained HTML file.
- :mod:`harness.report.track`: TensorBoard, Weights & Biases, trackio.
"""

from harness.results.frame import to_frame, write_csv

__all__ = ["to_frame", "write_csv"]

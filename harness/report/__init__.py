"""A result shown: as a table for a terminal, as a page, as CSV, as a DataFrame, in a tracker.

- :func:`print_result`, :func:`print_comparison`: tables for a terminal.
- :func:`to_frame`, :func:`write_csv`: one row per game, probe, training size and variable.
- :mod:`harness.report.page`: one HTML file that needs nothing but itself.
- :mod:`harness.report.track`: TensorBoard, Weights & Biases, trackio.
"""

from harness.report.table import metric_note, print_comparison, print_result, title_of
from harness.results.frame import to_frame, write_csv

__all__ = ["metric_note", "print_comparison", "print_result", "title_of", "to_frame", "write_csv"]

"""Options that several commands of `harness` share; `builders.console` has those of both command lines."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import click

from harness.probes.registry import PROBES


class ResultFile(click.Path):
    """A result file: it exists, and does not begin as no result does."""

    def __init__(self) -> None:
        """Take existing files only."""
        super().__init__(exists=True, dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path.

        Raises:
            ResultError: It is some other file.
        """
        path = Path(str(super().convert(value, param, ctx)))
        with path.open("rb") as file:
            begin = file.read(40)
        if (found := begin.removeprefix(b"\xef\xbb\xbf").lstrip()) and not found.startswith(b"{"):
            from harness.results.canonical import ResultError

            raise ResultError(
                f"{path} is not a result file.",
                expected='a file that `harness evaluate` wrote, which begins with "{"',
                got=ascii(begin.decode(errors="replace")),
            )
        return path


def _silence(context: click.Context, _: click.Parameter, quiet: bool) -> bool:
    """Hide narration, and the progress bars of `datasets`, while the command runs."""
    if quiet:
        import datasets

        log = logging.getLogger("harness")
        context.call_on_close(partial(log.setLevel, log.level))
        log.setLevel(logging.WARNING)
        if datasets.is_progress_bar_enabled():
            datasets.disable_progress_bars()
            context.call_on_close(datasets.enable_progress_bars)
    return quiet


quiet = click.option("--quiet", is_flag=True, callback=_silence, help="Hide progress.")
device = click.option("--device", default="cpu", show_default=True, help="Torch device.")
jobs = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes that work at the same time, each on a game; where games are fewer, on the lanes of one.  "
    "[default: 1, or all of a cluster]",
)
games = click.option(
    "--games", help="Comma-separated names of games or suites (all, paper, atari100k).  [default: all]"
)
probes = click.option(
    "--probe",
    "probes",
    type=click.Choice(list(PROBES)),
    multiple=True,
    help="Probe to fit; may be repeated. readout decides the ranking, linear scores by F1, anand2019 is the "
    "2019 paper's probe.  [default: readout]",
)
train_sizes = click.option(
    "--train-sizes",
    help="Comma-separated numbers of training rows, for a learning curve: 100,1000,10000,all. 1000 is the "
    "frozen subset 1k.  [default: all and 100 for readout, with deep states; all,1k for linear; all for "
    "anand2019]",
)
limit = click.option(
    "--limit", type=click.IntRange(min=2), help="Dry run: use only this many rows of each split."
)
batch_size = click.option("--batch-size", type=click.IntRange(min=1), help="Frames per batch, at most.")
weights = click.option(
    "--weights", type=click.Path(path_type=Path), help="Weights to load: a state dict, .safetensors or .pt."
)
submitter = click.option(
    "--submitter", help="Who submits the result: your name in allowed_signers, such as you@example.org."
)
key = click.option("--key", help="SSH key to sign with.  [default: see harness sign --help]")
key_to_sign_with = click.option(
    "--key", help="SSH private key, or public key of one in the agent.  [default: your own]"
)


def items(text: str | None) -> list[str] | None:
    """Split comma-separated names."""
    return None if text is None else [item.strip() for item in text.split(",") if item.strip()]

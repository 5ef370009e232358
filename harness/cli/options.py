"""Options that several commands of `harness` have; `builders.console` has those of `atariari-data`, too."""

from __future__ import annotations

from pathlib import Path

import click

from harness.probes.registry import PROBES


def _silence(context: click.Context, _: click.Parameter, quiet: bool) -> bool:
    """Let the building of datasets say nothing, too, while the command runs."""
    if quiet:
        import datasets

        if datasets.is_progress_bar_enabled():
            datasets.disable_progress_bars()
            context.call_on_close(datasets.enable_progress_bars)
    return quiet


quiet = click.option("--quiet", is_flag=True, callback=_silence, help="No progress.")
device = click.option("--device", default="cpu", show_default=True, help="Torch device.")
num_proc = click.option("--num-proc", type=click.IntRange(min=1), help="Processes to build the dataset with.")
games = click.option("--games", help="Names with commas between.  [default: all]")
probes = click.option(
    "--probe",
    "probes",
    type=click.Choice(list(PROBES)),
    multiple=True,
    help="linear: converged, the one that ranks. anand2019: the 2019 paper's. May be given twice.  "
    "[default: linear; both for harness run]",
)
train_sizes = click.option(
    "--train-sizes",
    help="Training rows for a learning curve, as 100,1000,10000,all; 1000 is 1k, the frozen rows.  "
    "[default: all,1k; all for anand2019]",
)
limit = click.option("--limit", type=click.IntRange(min=2), help="Dry run: only so many rows of every split.")
batch_size = click.option("--batch-size", type=click.IntRange(min=1), help="Most frames at once.")
weights = click.option("--weights", type=click.Path(path_type=Path), help="State dict, .safetensors or .pt.")
submitter = click.option(
    "--submitter", help="Who vouches for the result: the name in a leaderboard's allowed_signers."
)
key = click.option("--key", help="SSH key to sign with.  [default: your own, see harness sign --help]")


def items(text: str | None) -> list[str] | None:
    """Split names with commas between."""
    return None if text is None else [item.strip() for item in text.split(",") if item.strip()]

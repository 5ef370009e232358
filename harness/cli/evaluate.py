"""The commands about encoders: ``harness evaluate``, ``check``, ``trivial`` and ``cache``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atariari_data.errors import UsageError
from builders.console import cluster_option, json_option, label_set_option, print_json, say
from harness.cli import options

if TYPE_CHECKING:
    from harness.results.comparison import Comparison

_spec = click.option(
    "--spec",
    help="Input format, for an encoder that does not declare one: any of color=rgb, stack=4, size=84x84, "
    "layout=NHWC and scale=byte, comma-separated.",
)
_autocast = click.option(
    "--autocast",
    is_flag=True,
    help="Run a torch module in half precision: float16 on CUDA, bfloat16 on the CPU.",
)
_device = click.option("--device", help="Torch device.  [default: the encoder's own, else cpu]")
_pool = click.option("--pool", help="How to turn feature maps or tokens into vectors: flatten, mean or cls.")
_output = click.option(
    "--output",
    help="Which part of its output holds the features, for an encoder that returns a dict or a ModelOutput: "
    "last_hidden_state, say.",
)


@click.command()
@click.argument("encoders", metavar="ENCODER...", nargs=-1, required=True)
@options.games
@options.probes
@options.train_sizes
@options.weights
@click.option(
    "--out", type=click.Path(path_type=Path), help="Result file.  [default: results/NAME-TIME.json]"
)
@_device
@options.batch_size
@_pool
@_output
@_spec
@_autocast
@options.limit
@click.option(
    "--fresh-seed",
    type=click.IntRange(min=0, max=2**53 - 1),
    help="Record a new test split with this seed, score on it, and report the loss against the frozen one.",
)
@click.option(
    "--fresh-of",
    type=options.ResultFile(),
    help="With --fresh-seed: the result that this tests, for the tier `fresh-seed` of a leaderboard.",
)
@label_set_option
@click.option("--name", help="The encoder's name in the result.  [default: its class or file]")
@click.option(
    "--pretraining-data",
    help="What the encoder was trained on; 'none' if it is untrained.  [default: known for runs and named "
    "encoders, else not declared]",
)
@click.option(
    "--code",
    help="The https address of the encoder's code, for a leaderboard.  [default: known for built-in encoders "
    "and runs of a method]",
)
@click.option(
    "--paper", help="The https address of the paper that describes it.  [default: known for runs of a method]"
)
@options.submitter
@options.key
@options.jobs
@cluster_option
@click.option(
    "--no-cache", is_flag=True, help="Do not read or write the cache of features and finished games."
)
@click.option(
    "--no-isolation",
    is_flag=True,
    help="Run the encoder in this process, for debugging. The result records it.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds that the encoder may take for a batch.",
)
@click.option(
    "--memory-limit",
    type=click.FloatRange(min=0, min_open=True),
    help="Memory limit of the encoder's process, in GB.  [default: most of what is free]",
)
@options.quiet
@json_option
def evaluate(
    encoders: tuple[str, ...],
    games: str | None,
    probes: tuple[str, ...],
    train_sizes: str | None,
    out: Path | None,
    submitter: str | None,
    key: str | None,
    no_cache: bool,
    no_isolation: bool,
    quiet: bool,
    as_json: bool,
    fresh_seed: int | None,
    fresh_of: Path | None,
    **others: Any,
) -> None:
    """Evaluate ENCODER and write a signed result; several are compared with the first.

    ENCODER is one of:

    \b
    - a Python file that defines an encoder (`harness init` writes one to start from)
    - a folder that harness train or harness run wrote
    - a built-in: majority, random-cnn, pixels-pca (-16, -64), random-projection or ram
    - a TorchScript, torch.export or ONNX program, or a model by name (timm:NAME, hf:NAME):
      https://atariari.github.io/atariari/encoders.html

    \b
    harness evaluate my_encoder.py --games pong,breakout
    harness evaluate my_encoder.py --games pong --limit 500    # does it run at all?
    harness evaluate my_encoder.py other.py --games pong       # both, and how they differ
    harness evaluate my_encoder.py --games pong --probe readout --probe linear
    harness evaluate my_encoder.py --games pong --train-sizes 100,1000,10000,all
    """  # noqa: D301  click keeps the lines after this mark
    from harness.cli.output import check_key, check_writable, default_out, sign_saved, write_result
    from harness.cli.tables import metric_note, print_comparison, print_gaps, print_result
    from harness.evaluation.evaluate import evaluate as run_evaluation
    from harness.evaluation.fresh import gaps
    from harness.results.result_file import read

    if len(encoders) > 1 and (out is not None or fresh_seed is not None or others["name"] is not None):
        raise UsageError(
            "--out, --name and --fresh-seed are of one encoder.",
            got=", ".join(encoders),
            cure="Evaluate each alone.",
        )
    check_writable(out)
    check_key(key)
    others |= {
        "games": options.items(games),
        "probes": probes or None,
        "train_sizes": options.items(train_sizes),
        "submitter": None if submitter is None else {"principal": submitter},
        "use_cache": not no_cache,
        "isolate": not no_isolation,
        "progress": not quiet,
    }
    tested = None if fresh_of is None else read(fresh_of).signed.digest
    paths, told = [], []
    for encoder in encoders:
        public = None if fresh_seed is None else run_evaluation(encoder, **others)
        result = run_evaluation(encoder, fresh_seed=fresh_seed, fresh_of=tested, **others)
        path = write_result(result, out or default_out(result))
        paths.append(path)
        if as_json:
            signed = sign_saved(result, path, key)
            more = {} if public is None else {"gaps": gaps(public, result)}
            told.append({"path": str(path), "signed": bool(signed.signatures), **result.signed.plain, **more})
            continue
        if len(encoders) > 1:
            click.echo(f"\n{result.signed.encoder.name}")
        print_result(result)
        if public is not None:
            print_gaps(public, result)
        if encoder == encoders[-1]:
            say(metric_note(result))
        if result.signed.unranked_reason:
            say(f"Not ranked: {result.signed.unranked_reason}.")
        click.echo(f"\n{path}")
        sign_saved(result, path, key)
    comparisons = _compared(*paths)
    if as_json:
        both = {"results": told, "comparisons": [each.as_dict() for each in comparisons]}
        print_json(both if comparisons else told[0])
        return
    for comparison in comparisons:
        print_comparison(comparison)


def _compared(first: Path, *others: Path) -> list[Comparison]:
    """Compare a result with each of the others."""
    from harness.results.comparison import Resampled, compare

    if not others:
        return []
    one = Resampled(first)
    return [compare(one, other) for other in others]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def init(file: Path) -> None:
    """Write an example encoder to FILE, to start from.

    \b
    harness init my_encoder.py
    harness check my_encoder.py
    """  # noqa: D301  click keeps the lines after this mark
    from importlib.metadata import distribution

    from builders.files import new_file

    if file.suffix != ".py":
        raise UsageError("An encoder is a Python file.", expected="a name that ends in .py", got=str(file))
    installed = [f for f in distribution("atariari").files or [] if f.name == "my_encoder.py"]
    checkout = Path(__file__).parents[2] / "examples" / "my_encoder.py"
    example = Path(str(installed[0].locate())) if installed else checkout
    with new_file(file) as part:
        part.write_bytes(example.read_bytes())
    click.echo(str(file))
    say(f"Next: harness check {file}")


@click.command()
@click.argument("encoder")
@options.weights
@_device
@_pool
@_output
@_spec
@_autocast
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds that the whole check may take.",
)
@json_option
def check(encoder: str, spec: str | None, as_json: bool, **others: Any) -> None:
    """Check an encoder before a long run.

    Exit code 0: it passes every check. 1: it does not.
    """
    from harness.conformance import check_apart, conforms, report
    from harness.encoders.frame_spec import FrameSpec

    findings = check_apart(encoder, spec=None if spec is None else FrameSpec.parse(spec), **others)
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    else:
        click.echo(report(findings))
    if not conforms(findings):
        raise click.exceptions.Exit(1)


@click.command()
@options.games
@click.option("--to", required=True, type=click.Path(path_type=Path), help="Folder to write GAME.json to.")
@options.probes
@options.train_sizes
@options.device
@options.jobs
@cluster_option
@click.option("--no-cache", is_flag=True, help="Do not read or write the cache of features.")
@options.quiet
@json_option
def trivial(
    games: str | None,
    to: Path,
    probes: tuple[str, ...],
    train_sizes: str | None,
    no_cache: bool,
    quiet: bool,
    as_json: bool,
    **others: Any,
) -> None:
    """Score the trivial encoders: PCA and a random projection of the pixels, and a random CNN.

    Every result is compared with these scores. They are computed once for each dataset and protocol and kept
    in harness/trivial/scores. Scores that are there under the same rules are kept, so an interrupted run can
    be resumed.
    """
    from harness.evaluation.trivial import make

    sizes = options.items(train_sizes)
    files = make(
        options.items(games),
        to,
        probes=probes or None,
        train_sizes=sizes,
        use_cache=not no_cache,
        progress=not quiet,
        **others,
    )
    if as_json:
        print_json([str(file) for file in files])
    else:
        click.echo("\n".join(map(str, files)))


@click.command()
@click.option("--clear", is_flag=True, help="Delete all that is kept in it.")
def cache(clear: bool) -> None:
    """Show the size of the cache of features and finished games, or clear it.

    It lies in ATARIARI_CACHE (~/.cache/atariari), and takes up to ATARIARI_CACHE_GB (20).
    What was longest unused makes room.
    """
    from harness.cache import Cache, default_dir

    kept = Cache(default_dir())
    size = kept.clear() if clear else kept.size()
    told = " removed" if clear else f" of {kept.gigabytes:g} GB"
    click.echo(f"{kept.folder}: {size / 1e6:,.1f} MB{told}")

"""The command ``harness reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from builders.console import print_json, say
from harness.cli import options
from harness.cli.result import as_json


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.argument("encoder")
@options.weights
@click.option("--device", help="Torch device of encoder and probes.  [default: cpu]")
@options.batch_size
@options.num_proc
@click.option("--key", help="Co-sign RESULT with this SSH key, if it agrees.")
@options.quiet
@as_json
def reproduce(
    result: Path, encoder: str, key: str | None, *, quiet: bool, json_output: bool, **chosen: Any
) -> None:
    """Run RESULT again with ENCODER and say whether it agrees.

    Source and weights must be the same. Features are the same bit for bit on the same kind of machine; where
    they are not, F1 of every variable must be within 0.02 and of every game within 0.005 (0.05 and 0.01 under
    the probe of 2019).

    Exit code 0: it agrees. 1: it does not.
    """
    from harness.evaluation.reproduction import reproduce as run
    from harness.report.table import print_reproduction
    from harness.results.result_file import read, write
    from harness.results.sign import sign_result

    claimed = read(result)
    found = run(claimed, encoder, progress=not quiet, **chosen)
    cosigned = None
    if found.agrees and key is not None:
        signed = sign_result(claimed, key)
        write(signed, result, overwrite=True)
        cosigned = signed.signatures[-1].keyid
    if json_output:
        print_json({**found.as_dict(), "cosigned": cosigned})
    else:
        print_reproduction(found)
        click.echo(f"\n{result}: " + ("reproduced" if found.agrees else "not reproduced"))
        if cosigned:
            say(f"Co-signed by {cosigned}.")
        elif key is not None:
            say("Not co-signed.")
    if not found.agrees:
        raise click.exceptions.Exit(1)

"""The command ``harness reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from builders.console import cluster_option, json_option, print_json, say
from harness.cli import options


@click.command()
@click.argument("result", type=options.ResultFile())
@click.argument("encoder")
@options.weights
@click.option("--device", help="Torch device of encoder and probes.  [default: cpu]")
@options.batch_size
@options.jobs
@cluster_option
@click.option("--key", help="SSH key to co-sign RESULT with if it is reproduced.")
@options.quiet
@json_option
def reproduce(
    result: Path, encoder: str, key: str | None, *, quiet: bool, as_json: bool, **chosen: Any
) -> None:
    """Run RESULT again with ENCODER and compare.

    Source and weights must be the same. On the same kind of machine, features are bit for bit the same. On
    others, the score of every variable and the means of every game must agree within the tolerances of
    https://atariari.github.io/atariari/result.html#running-it-again

    Exit code 0 if the result is reproduced, 1 if it is not, 2 for wrong usage.
    """
    from atariari_data.errors import AtariariError, UsageError
    from harness.adapters import check_there
    from harness.cli.output import ask_passphrase, check_key
    from harness.cli.tables import print_reproduction
    from harness.encoders.named import RAM
    from harness.evaluation.reproduction import reproduce as run
    from harness.results.result_file import read, write
    from harness.results.sign import sign_result

    claimed = read(result)
    check_there(encoder)
    if claimed.signed.encoder.name == RAM != encoder:
        raise UsageError(
            f"{result} is a result of the built-in encoder {RAM!r}.",
            expected=f"harness reproduce {result} {RAM}",
            got=f"harness reproduce {result} {encoder}",
        )
    check_key(key)
    found = run(claimed, encoder, progress=not quiet, **chosen)

    def cosign() -> str | None:
        if key is None or not found.agrees:
            return None
        signed = sign_result(claimed, key, ask=ask_passphrase)
        write(signed, result, overwrite=True)
        return signed.signatures[-1].keyid

    if as_json:
        try:
            print_json({**found.as_dict(), "cosigned": cosign()})
        except AtariariError as error:
            print_json({**found.as_dict(), "cosigned": None, **error.as_dict()})
            raise click.exceptions.Exit(error.exit_code) from error
    else:
        print_reproduction(found)
        click.echo(f"\n{result}: " + ("reproduced" if found.agrees else "not reproduced"))
        if keyid := cosign():
            say(f"Co-signed by {keyid}.")
        elif key is not None:
            say("Not co-signed.")
    if not found.agrees:
        raise click.exceptions.Exit(1)

"""Commands about result files: ``harness compare``, ``verify``, ``sign`` and ``keygen``."""

from __future__ import annotations

import json
from pathlib import Path

import click

as_json = click.option("--json", "json_output", is_flag=True, help="Print JSON, errors too.")


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@as_json
def compare(a: Path, b: Path, *, json_output: bool) -> None:
    """Say which variables differ between the results A and B, by how much, and what is noise.

    Needs the predictions beside both, which `harness evaluate` wrote (a.json: a.predictions.parquet).
    Differences in F1, A - B, have 95 % intervals from a paired bootstrap over the episodes of the test split.
    """
    from harness.report import print_comparison
    from harness.results.comparison import compare as run

    comparison = run(a, b)
    if json_output:
        click.echo(json.dumps(comparison.as_dict()))
        return
    print_comparison(comparison)


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option(
    "--allowed-signers",
    type=click.Path(path_type=Path),
    help="File that says whose key is whose, as `ssh-keygen -Y verify -f` takes it.",
)
@as_json
def verify(result: Path, allowed_signers: Path | None, *, json_output: bool) -> None:
    """Check the signatures of RESULT, and that its numbers follow from one another.

    Exit code 0: it holds. 1: it does not, or is not signed. 2: the command makes no sense.
    """
    from harness.results.verify import verify as check

    report = check(result, allowed_signers)
    if json_output:
        click.echo(json.dumps(report.as_dict()))
        return
    click.echo(f"{result}: verified")
    click.echo(f"  encoder    {report.encoder}")
    click.echo(f"  submitter  {report.submitter or 'nobody'}")
    for signature in report.signed_by:
        click.echo(f"  signed by  {signature.keyid} {signature.principal or ''}".rstrip())
    click.echo(f"  sha256     {report.digest}")
    if not report.ranked:
        click.echo("  not for ranking")
    if not report.dataset_known:
        click.echo("  its dataset is not the installed version: rows and digests were not compared")
    if allowed_signers is None:
        click.echo(
            "Nobody vouches for whose key that is: give --allowed-signers, or compare the fingerprint with "
            "the one its owner shows.",
            err=True,
        )


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--key", help="SSH private key, or public key of one in the agent.  [default: your own]")
@click.option("--out", type=click.Path(path_type=Path), help="Write here instead of adding to RESULT.")
@as_json
def sign(result: Path, key: str | None, out: Path | None, *, json_output: bool) -> None:
    """Add a signature to RESULT.

    The key is, unless --key says otherwise, the one of `harness keygen`, or what git signs with
    (user.signingkey), or ~/.ssh/id_ed25519, id_ed25519_sk or id_rsa.
    """
    from harness.results.result_file import read, write
    from harness.results.sign import sign_result

    signed = sign_result(read(result), key, ask=_ask)
    path = write(signed, out or result, overwrite=out is None)
    keyid = signed.signatures[-1].keyid
    if json_output:
        click.echo(json.dumps({"path": str(path), "keyid": keyid, "signatures": len(signed.signatures)}))
    else:
        click.echo(f"{path}: signed by {keyid}")


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--passphrase", is_flag=True, help="Ask for a passphrase to lock the key with.")
@click.option("--comment", default="", help="Closes the public key's line.")
@as_json
def keygen(path: Path | None, *, passphrase: bool, comment: str, json_output: bool) -> None:
    """Make an ed25519 key to sign results with.

    PATH is the private key's file, ~/.config/atariari/id_ed25519 if not given.
    """
    from harness.signing import keys

    path = path or keys.own_key()
    phrase = (
        click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
        if passphrase
        else None
    )
    public = keys.keygen(path, passphrase=phrase, comment=comment)
    if json_output:
        click.echo(json.dumps({"path": str(path), "keyid": public.fingerprint, "public": public.line}))
        return
    click.echo(f"{path}: made, {public.fingerprint}")
    click.echo(
        "A line for a leaderboard's allowed_signers, with your address in place of the first word:", err=True
    )
    click.echo(f'you@example.org namespaces="atariari-result-v1" {public.line}')


def _ask(question: str) -> str:
    return str(click.prompt(question, hide_input=True, err=True))

"""Commands for result files: ``harness compare``, ``merge``, ``export``, ``verify``, ``sign``, ``keygen``."""

from __future__ import annotations

from pathlib import Path

import click

from builders.console import json_option, print_json, say
from builders.files import new_file
from harness.cli import options
from harness.exports import DATASET, FORMATS

_allowed_signers = click.option(
    "--allowed-signers",
    type=click.Path(path_type=Path),
    help="File of people and their keys, as for `ssh-keygen -Y verify`; `harness keygen` prints its lines.",
)


@click.command()
@click.argument("a", type=options.ResultFile())
@click.argument("b", type=options.ResultFile())
@json_option
def compare(a: Path, b: Path, *, as_json: bool) -> None:
    """Compare the results A and B: which variables differ, by how much, and what is noise.

    Needs the predictions that `harness evaluate` wrote next to each result (a.predictions.parquet for
    a.json).
    Differences A - B have 95 % intervals from a paired bootstrap over the episodes of the test split.
    """
    from harness.cli.tables import print_comparison
    from harness.results.comparison import compare as run

    comparison = run(a, b)
    if as_json:
        print_json(comparison.as_dict())
    else:
        print_comparison(comparison)


@click.command()
@click.argument("result", type=options.ResultFile())
@click.option("--format", "form", type=click.Choice(list(FORMATS)), required=True, help="Format to write.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write.  [default: standard output]")
@click.option("--replace", is_flag=True, help="Overwrite an existing file.")
@click.option("--url", help="Where others can read RESULT, to be named by formats that have a place for it.")
@click.option(
    "--dataset",
    default=DATASET,
    show_default=True,
    metavar="ORG/NAME",
    help="The dataset on the Hugging Face Hub, for hf-eval-results.",
)
@click.option("--key", help="SSH private key that signs an in-toto attestation.  [default: your own]")
@_allowed_signers
@json_option
def export(
    result: Path,
    form: str,
    out: Path | None,
    *,
    replace: bool,
    url: str | None,
    dataset: str,
    key: str | None,
    allowed_signers: Path | None,
    as_json: bool,
) -> None:
    """Write RESULT in the format of another tool, after verifying it.

    \b
    csv              a row for each game, probe and variable
    every-eval-ever  a record of Every Eval Ever, schema 0.3
    hf-eval-results  .eval_results/*.yaml of a model on the Hugging Face Hub
    in-toto          an attestation (test-result v0.1) in a DSSE envelope, signed
    model-card       a section for a model card, in Markdown

    \b
    harness export result.json --format csv --out scores.csv
    harness export result.json --format in-toto --key my_key --out result.intoto.json
    """  # noqa: D301  click's mark for lines to leave as they are
    from harness.cli.output import ask_passphrase
    from harness.exports.export import Options
    from harness.exports.export import export as run

    chosen = Options(url=url, dataset=dataset, key=key, ask=ask_passphrase)
    text = run(result, form, chosen, signers=allowed_signers)
    if out is not None:
        with new_file(out, replace=replace) as part:
            part.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"format": form, **({"content": text} if out is None else {"path": str(out)})})
    elif out is None:
        click.echo(text, nl=False)
    else:
        click.echo(out)


@click.command()
@click.argument("result", type=options.ResultFile())
@_allowed_signers
@json_option
def verify(result: Path, allowed_signers: Path | None, *, as_json: bool) -> None:
    """Verify the signatures of RESULT and the consistency of its numbers.

    Exit code 0 if the result is valid; 1 if it is not, or not signed; 2 for wrong usage.
    """
    from harness.results.verify import verify as check

    report = check(result, allowed_signers)
    if as_json:
        print_json(report.as_dict())
        return
    click.echo(f"{result}: verified")
    click.echo(f"  encoder    {report.encoder}")
    click.echo(f"  submitter  {report.submitter or 'none'}")
    for signature in report.signed_by:
        click.echo(f"  signed by  {signature.keyid} {signature.principal or ''}".rstrip())
    click.echo(f"  sha256     {report.digest}")
    if not report.ranked:
        click.echo("  not ranked")
    if not report.dataset_known:
        click.echo("  made on another dataset version: rows and digests were not compared")
    if report.without_trivial:
        say(
            f"The scores of the trivial encoders are missing for {', '.join(report.without_trivial)}, so "
            "normalised scores compare with majority alone. Evaluate again to have them."
        )
    if allowed_signers is None:
        say(
            "The key's owner is not verified. Use --allowed-signers, or compare the fingerprint with the one "
            "that its owner publishes."
        )


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True, type=options.ResultFile())
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File of the merged result.")
@options.key
@json_option
def merge(results: tuple[Path, ...], out: Path, key: str | None, *, as_json: bool) -> None:
    """Make one signed result of partial results: one encoder, one version, different games.

    \b
    harness merge pong.json breakout.json --out both.json

    Refuses what does not belong together: another encoder, protocol, label set, version or probe, a game with
    two scores, an invalid signature. Predictions beside all results are merged, too.
    """  # noqa: D301  click's mark for lines to leave as they are
    from harness.cli.output import check_key, check_writable, sign_saved
    from harness.results.merge import lacks_predictions
    from harness.results.merge import merge as run
    from harness.results.result_file import write

    check_writable(out)
    check_key(key)
    merged = run(results)
    path = write(merged, out)
    if merged.predictions is None:
        say(f"Without predictions: {', '.join(map(str, lacks_predictions(results)))} has none beside it.")
    signed = sign_saved(merged, path, key)
    if as_json:
        games = list(signed.signed.games)
        print_json({"path": str(path), "signed": bool(signed.signatures), "games": games})
    else:
        click.echo(f"{path}: {len(signed.signed.games)} games")


@click.command()
@click.argument("result", type=options.ResultFile())
@options.key_to_sign_with
@click.option("--out", type=click.Path(path_type=Path), help="Write here instead of adding to RESULT.")
@json_option
def sign(result: Path, key: str | None, out: Path | None, *, as_json: bool) -> None:
    """Add a signature to RESULT.

    The default key is the one of `harness keygen`, else git's signing key (user.signingkey), else
    ~/.ssh/id_ed25519, id_ed25519_sk or id_rsa.
    """
    from harness.cli.output import ask_passphrase
    from harness.results.result_file import read, write
    from harness.results.sign import sign_result

    signed = sign_result(read(result), key, ask=ask_passphrase)
    path = write(signed, out or result, overwrite=out is None)
    keyid = signed.signatures[-1].keyid
    if as_json:
        print_json({"path": str(path), "keyid": keyid, "signatures": len(signed.signatures)})
    else:
        click.echo(f"{path}: signed by {keyid}")


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--submitter",
    default="you@example.org",
    show_default=True,
    help="Your name in allowed_signers, the same as in `harness evaluate --submitter`.",
)
@click.option("--show", is_flag=True, help="Print the line of your existing key instead of creating one.")
@click.option("--passphrase", is_flag=True, help="Protect the key with a passphrase.")
@click.option("--comment", default="", help="Comment in the public key file.")
@json_option
def keygen(
    path: Path | None, *, submitter: str, show: bool, passphrase: bool, comment: str, as_json: bool
) -> None:
    """Create an ed25519 key to sign results with.

    PATH is the private key's file, by default ~/.config/atariari/id_ed25519. The command prints a line for an
    allowed_signers file, which says whose key this is:

    \b
    harness keygen --submitter you@example.org >> allowed_signers
    harness evaluate my_encoder.py --submitter you@example.org --out result.json
    harness verify result.json --allowed-signers allowed_signers
    """  # noqa: D301  click's mark for lines to leave as they are
    from harness.cli.output import ask_passphrase
    from harness.results.declared import check_submitter
    from harness.results.result import NAMESPACE
    from harness.signing import keys

    check_submitter(submitter)
    if show:
        public = keys.public_key(path)
    else:
        path = path or keys.own_key()
        phrase = ask_passphrase("New passphrase", new=True) if passphrase else None
        public = keys.keygen(path, passphrase=phrase, comment=comment)
    line = f'{submitter} namespaces="{NAMESPACE}" {public.line}'
    if as_json:
        found = {"path": None if path is None else str(path), "keyid": public.fingerprint}
        print_json({**found, "public": public.line, "line": line})
        return
    if not show:
        say(f"{path}: created, {public.fingerprint}")
        say("The line below belongs in an allowed_signers file (your own, or a leaderboard's):")
    click.echo(line)

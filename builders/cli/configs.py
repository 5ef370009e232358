"""Commands on built configs: build, verify, export."""

from __future__ import annotations

from pathlib import Path

import click

from atariari_data.errors import UsageError
from builders.cli.options import (
    all_option,
    cache_dir_option,
    chosen_configs,
    cores,
    jobs_option,
    print_rows,
    processes_option,
)
from builders.console import cluster_option, json_option, say
from builders.spread import LOCAL, Engine, Task


@click.command()
@click.argument("configs", nargs=-1)
@all_option
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes that work at the same time, each on a lane of a game; on a cluster, workers.  "
    "[default: cores, or all of a cluster]",
)
@cluster_option
@cache_dir_option
@click.option("--rebuild", is_flag=True, help="Rebuild configs that are already built.")
@json_option
def build(
    configs: tuple[str, ...],
    everything: bool,
    jobs: int | None,
    cluster: str,
    cache_dir: str | None,
    rebuild: bool,
    as_json: bool,
) -> None:
    """Build configs from their recordings, and check them against the manifest.

    \b
    atariari-data build pong
    atariari-data build pong pong_pretrain --jobs 8
    atariari-data build atari100k atari100k_deep
    atariari-data build --all --cluster dask://HOST:PORT

    On a cluster, each worker builds a config at a time in its own cache, or in one that all share.
    """  # noqa: D301  click's mark for lines to leave as they are
    from builders import units
    from builders.manifest import frozen_config

    chosen = chosen_configs(configs, everything)
    lanes = jobs or cores() if cluster == LOCAL else 1
    engine = Engine(1 if cluster == LOCAL else jobs, cluster)
    tasks = [Task(config, (config, cache_dir, lanes, rebuild)) for config in chosen]
    failed: list[str] = []
    for config, (seconds, folder) in units.done(units.build, tasks, engine, what="Building", failed=failed):
        say(f"{config}: {seconds} s, in {folder}")
    units.refuse_failures(failed, len(tasks))
    rows = [
        (config, name, split.rows, len(split.episodes), split.digest)
        for config in chosen
        for name, split in frozen_config(config).splits.items()
    ]
    print_rows(("config", "split", "rows", "episodes", "digest"), rows, as_json=as_json)


@click.command()
@click.argument("configs", nargs=-1)
@all_option
@jobs_option
@cluster_option
@cache_dir_option
@click.option(
    "--copy",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Check a copy that `export` wrote to this folder, instead of the cache.",
)
@json_option
def verify(
    configs: tuple[str, ...],
    everything: bool,
    jobs: int | None,
    cluster: str,
    cache_dir: str | None,
    copy: Path | None,
    as_json: bool,
) -> None:
    """Recompute digests from the files on disk and compare them with the manifest."""
    from builders import units

    engine, failed = Engine(jobs, cluster), list[str]()
    tasks = [Task(config, (config, cache_dir, copy)) for config in chosen_configs(configs, everything)]
    found = dict(units.done(units.verify, tasks, engine, what="Verifying", failed=failed))
    units.refuse_failures(failed, len(tasks))
    rows = [(task.name, split, digest, "ok") for task in tasks for split, digest in found[task.name].items()]
    print_rows(("config", "split", "digest", "verified"), rows, as_json=as_json)


@click.command()
@click.argument("configs", nargs=-1)
@all_option
@click.option(
    "--to", "target", required=True, help="Folder, or hf://datasets/ORG/NAME for the Hugging Face Hub."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("parquet", "minari")),
    default="parquet",
    show_default=True,
    help="Parquet for stock `datasets`, or trajectories for Minari (extra `minari`).",
)
@click.option(
    "--files-per-split",
    type=click.IntRange(min=1),
    help="Parquet files of each split: as many streaming workers can share it.  [default: 8]",
)
@processes_option
@cache_dir_option
@json_option
def export(
    configs: tuple[str, ...],
    everything: bool,
    target: str,
    form: str,
    files_per_split: int | None,
    jobs: int,
    cache_dir: str | None,
    as_json: bool,
) -> None:
    """Write configs for other tools: as Parquet with a dataset card, or as Minari datasets.

    \b
    atariari-data export pong pong_pretrain --to copy
    atariari-data export --all --to hf://datasets/ORG/NAME
    atariari-data export pong --format minari --to minari

    The first can be read with datasets.load_dataset("copy", "pong"), without this package, and has Croissant
    metadata. The last, with MINARI_DATASETS_PATH=minari, with minari.load_dataset("atariari/pong/train-v1").
    An interrupted export resumes when it is run again. Other files are never overwritten.
    """  # noqa: D301  click's mark for lines to leave as they are
    from builders import hub
    from builders.export import SHARDS
    from builders.export import export as export_configs
    from builders.trajectories import export_trajectories

    chosen = chosen_configs(configs, everything)
    repo_id = hub.repository(target) if target.startswith("hf://") else None
    if form == "minari":
        if repo_id:
            raise UsageError("Minari datasets are written to a folder only.", got=target)
        if files_per_split is not None:
            raise UsageError(
                "--files-per-split has no meaning with --format minari.",
                got=f"--files-per-split {files_per_split}",
                cure="Leave it out, or take --format parquet.",
            )
        folders = export_trajectories(chosen, Path(target), cache_dir=cache_dir, num_proc=jobs)
        print_rows(("folder",), [(str(folder),) for folder in folders], as_json=as_json)
        return
    if repo_id:
        hub.check_access(repo_id)
    folder = hub.staging(repo_id) if repo_id else Path(target)
    files = export_configs(
        chosen, folder, files_per_split=files_per_split or SHARDS, cache_dir=cache_dir, num_proc=jobs
    )
    if repo_id:
        say(f"Uploaded to {hub.upload(folder, repo_id)}")
    print_rows(("file", "bytes"), [(str(f), f.stat().st_size) for f in files], as_json=as_json)

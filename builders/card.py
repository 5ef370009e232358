"""The card of an exported dataset: README.md with the YAML that `datasets` and the Hub read."""

from __future__ import annotations

import re
from pathlib import Path

from atariari_data.errors import UsageError
from atariari_data.games import game
from builders.digest import bytes_digest
from builders.files import new_file
from builders.manifest import DATASET_VERSION, PRETRAIN, load_manifest, recorded_games

_MARK = re.compile(r"\n<!-- atariari ([0-9a-f]{64}) -->\n\Z")

_HEAD = """
# AtariARI: Atari frames with labels from RAM

Frames of {games} with the state of the game beside each, read from the emulator's RAM: for measuring what a
representation knows of the state ([arXiv 1906.08226](https://arxiv.org/abs/1906.08226)), and for learning
one. Dataset version {version}. A game's config (`{first}`) holds `train`, `validation` and `test` for
probing, with rows whose pixels occur in an earlier split left out; its `_pretrain` config holds other rows,
for methods that learn.

```python
import datasets

data = datasets.load_dataset("path/or/name/of/this/dataset", "{config}")
row = next(iter(data["train"]))
row["frame"], row["labels"]
```

It was exported from the Python package `atariari`, which makes the same rows from the ROMs in ale-py's
wheel, bit for bit, and with which `atariari-data verify CONFIG --copy DIR` checks this copy.

## Columns

| column | type | |
| --- | --- | --- |
| `frame` | image, RGB, 210 x 160, lossless PNG | pixelwise maximum of the last two screens |
| `ram` | `uint8[128]` | after the same step; every other label set can be derived from it |
| `labels` | struct of `uint8`, one field a variable | label set v1, see below |
| `episode`, `step` | `int32` | a gap in `step` is a row that was left out |
| `action`, `reward` | `uint8`, `float32` | ALE's number, and what it brought; null on the last row |
| `is_first`, `is_last`, `is_terminal` | `bool` | as in RLDS; `is_terminal` only where the game was over |
| `lives` | `uint8` | ALE's count |

Actions are uniformly random over the game's minimal set without NOOP; each is held for four frames, without
sticky actions; 1 to 30 no-ops follow a reset; a lost life ends an episode.

## Rows

| config | split | rows | episodes | left out | digest |
| --- | --- | ---: | ---: | ---: | --- |
{rows}

A digest (BLAKE3) covers pixels, RAM, step, action, reward, flags and lives of all rows, in order.
"""

_GAME = """
## {title}

![Four frames of {title}](images/{name}.png)
{labels}
| variable | what | values | entropy, nats | probed | ceiling F1 |
| --- | --- | --- | ---: | --- | ---: |
{variables}
"""

_TAIL = """
## What the statistics are

The entropy is over all rows of the game's probing config; a variable is probed where it is at least 0.6 and
the screen shows it.
The ceiling is the best weighted F1 on the test split that a function of the single frame can reach, as far
as frames with equal pixels show it.

## Licence

Software, labels and recorded actions: MIT. The frames are drawn by games whose ROMs have licences and
owners of their own, which this dataset does not change; no ROM is part of it.

## Citation

```bibtex
@inproceedings{anand2019unsupervised,
  title = {Unsupervised State Representation Learning in Atari},
  author = {Anand, Ankesh and Racah, Evan and Ozair, Sherjil and Bengio, Yoshua and
            C{\\^o}t{\\'e}, Marc-Alexandre and Hjelm, R Devon},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2019},
  eprint = {1906.08226},
  archivePrefix = {arXiv}
}
```
"""


def write_card(folder: Path) -> Path:
    """Write README.md for the configs that are in a folder, in the place of one that we wrote.

    Raises:
        UsageError: There is a README.md that we did not write, or that was edited.
        DataError: It cannot be written.
    """
    file = folder / "README.md"
    if file.exists() and not is_ours(file.read_bytes()):
        raise UsageError(
            f"{file} is there already, and was written or edited by somebody else.",
            cure="Move it away and run the export again: what is finished is kept.",
        )
    with new_file(file, replace=True) as part:
        part.write_bytes(_marked(card(folder)))
    return file


def is_ours(content: bytes) -> bool:
    """Tell whether a card is as `write_card` wrote it."""
    text = content.decode(errors="replace")
    mark = _MARK.search(text)
    return mark is not None and mark[1] == bytes_digest(text[: mark.start()].encode())


def _marked(text: str) -> bytes:
    return f"{text}\n<!-- atariari {bytes_digest(text.encode())} -->\n".encode()


def configs_in(folder: Path) -> list[str]:
    """Return the configs that are wholly in a folder, in the order of the games."""
    return [
        config
        for name in recorded_games()
        for config in (name, name + PRETRAIN)
        if all(
            (folder / config / f"{s}.parquet").is_file() for s in load_manifest(name).configs[config].splits
        )
    ]


def card(folder: Path) -> str:
    """Compose the card of the configs that are in a folder."""
    configs = configs_in(folder)
    names = list(dict.fromkeys(config.removesuffix(PRETRAIN) for config in configs))
    rows = []
    for config in configs:
        for split, s in load_manifest(config.removesuffix(PRETRAIN)).configs[config].splits.items():
            rows.append(
                f"| `{config}` | {split} | {s.rows:,} | {len(s.episodes):,} | {s.left_out:,} | `{s.digest}` |"
            )
    head = _HEAD.format(
        games=", ".join(game(name).title for name in names),
        version=DATASET_VERSION,
        first=names[0],
        config=configs[0],
        rows="\n".join(rows),
    )
    return f"---\n{_yaml(configs)}---\n{head}{''.join(_game(name, folder) for name in names)}{_TAIL}"


def _yaml(configs: list[str]) -> str:
    import yaml

    fields = {
        "pretty_name": "AtariARI",
        "license": "other",
        "license_name": "mit-and-roms",
        "tags": ["atari", "reinforcement-learning", "representation-learning", "probing"],
        "annotations_creators": ["machine-generated"],
        "configs": [
            {
                "config_name": config,
                "data_files": [
                    {"split": split, "path": f"{config}/{split}.parquet"}
                    for split in load_manifest(config.removesuffix(PRETRAIN)).configs[config].splits
                ],
            }
            for config in configs
        ],
    }
    return str(yaml.safe_dump(fields, sort_keys=False))


def _game(name: str, folder: Path) -> str:
    labels = ""
    if (folder / "images" / f"{name}_labels.png").is_file():
        labels = f"\n![Frames and labels of an episode](images/{name}_labels.png)\n"
    frozen = load_manifest(name).label_sets["v1"]
    lines = []
    for v in game(name).variables("v1"):
        s = frozen[v.name]
        values = f"{v.values[0]} to {v.values[1]} {v.unit}"
        numbers = f"{abs(s.entropy):.2f} | {'yes' if s.probed else 'no'} | {s.ceiling_f1:.4f}"
        lines.append(f"| `{v.name}` | {v.description} | {values} | {numbers} |")
    return _GAME.format(name=name, title=game(name).title, labels=labels, variables="\n".join(lines))

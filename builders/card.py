"""The dataset card of an export: README.md with the YAML header that `datasets` and the Hub read."""

from __future__ import annotations

import re
from pathlib import Path

from atariari_data.errors import UsageError
from atariari_data.games import game
from builders.digest import bytes_digest
from builders.files import new_file
from builders.manifest import DATASET_VERSION, frozen_config, game_of_config, load_manifest, recorded_configs
from builders.shards import is_complete

_MARK = re.compile(r"\n<!-- atariari ([0-9a-f]{64}) -->\n\Z")

_HEAD = """
# AtariARI: Atari frames with labels from RAM

Frames of {games}, each with the game's state read from the emulator's RAM: for measuring how much of the
state a representation contains ([arXiv 1906.08226](https://arxiv.org/abs/1906.08226)), and for learning
representations. Dataset version {version}. A game's config (`{first}`) has the splits `train`, `validation`
and `test` for probing; rows whose pixels occur in an earlier split are left out. Its `_pretrain` config has
other rows, for representation learning. Its `_deep` config has states that random play does not reach, found
by a search; rows whose pixels occur in the other two are left out.

```python
import datasets

data = datasets.load_dataset("path/or/name/of/this/dataset", "{config}")
row = next(iter(data["train"]))
row["frame"], row["labels"]
```

Exported from the Python package `atariari`, which builds the same rows, bit for bit, from the ROMs in
ale-py's wheel. `atariari-data verify CONFIG --copy DIR` checks this copy.

## Columns

| column | type | |
| --- | --- | --- |
| `frame` | image, RGB, 210 x 160, lossless PNG | pixelwise maximum of the last two screens |
| `ram` | `uint8[128]` | after the same step; every other label set can be derived from it |
| `labels` | struct of `uint8`, one field per variable | label set v1, see below |
| `episode`, `step` | `int32` | a gap in `step` is a row that was left out |
| `action`, `reward` | `uint8`, `float32` | ALE's number of the action, and its reward; null on the last row |
| `is_first`, `is_last`, `is_terminal` | `bool` | as in RLDS; `is_terminal` only if the game is over |
| `lives` | `uint8` | ALE's count; 0 in Bowling, Boxing, Freeway, Pong, Private Eye, Skiing and Tennis |

Actions are held for four frames, without sticky actions. In the first two configs they are uniformly random
over the game's minimal action set without NOOP, 1 to 30 no-ops follow a reset, and a lost life ends an
episode. In `_deep` an episode is the end of a path that the search found, and 40 to 600 rows of random play
after it, over lost lives, up to the end of the game.

In Amidar `lives` is 8 more than the lives in reserve on the first level.

Frames are palette PNGs. `datasets` decodes them to RGB; if you open the bytes with Pillow, call
`Image.open(...).convert("RGB")`. Stacks of frames must not jump over gaps in `step`.

## Rows

| config | split | rows | episodes | left out | digest |
| --- | --- | ---: | ---: | ---: | --- |
{rows}

The digest (BLAKE3) covers pixels, RAM, step, action, reward, flags and lives of all rows, in order.
"""

_GAME = """
## {title}

![Four frames of {title}](images/{name}.png)
{labels}
| variable | what | values | entropy, nats | probed | ceiling F1 |
| --- | --- | --- | ---: | --- | ---: |
{variables}
"""

CITATION = """\
@inproceedings{anand2019unsupervised,
  title = {Unsupervised State Representation Learning in Atari},
  author = {Anand, Ankesh and Racah, Evan and Ozair, Sherjil and Bengio, Yoshua and
            C{\\^o}t{\\'e}, Marc-Alexandre and Hjelm, R Devon},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2019},
  eprint = {1906.08226},
  archivePrefix = {arXiv}
}"""

_TAIL = f"""
## Statistics

The entropy is over all rows of the game's probing config. A variable is probed if its entropy is at least
0.6, the screen shows it, and its thing is there on at least 5 % of the rows. The ceiling is the best weighted
F1 on the test split that a function of a single frame can reach, as far as frames with equal pixels show it.

## Licence

Software, labels and recorded actions: MIT. The frames show games whose ROMs have their own licences and
owners; this dataset contains no ROM.

## Citation

```bibtex
{CITATION}
```
"""


def write_card(folder: Path) -> Path:
    """Write README.md for the configs in a folder, replacing only an unedited earlier one.

    Raises:
        UsageError: README.md is not ours or was edited.
        DataError: The file cannot be written, or a variable was annotated after the statistics were computed.
    """
    file = folder / "README.md"
    if file.exists() and not is_ours(file.read_bytes()):
        raise UsageError(
            f"{file} already exists, and was not written by the export, or was edited since.",
            cure="Move it away and run the export again; finished files are kept.",
        )
    with new_file(file, replace=True) as part:
        part.write_bytes(_marked(card(folder)))
    return file


def is_ours(content: bytes) -> bool:
    """Return whether a card is unchanged since `write_card` wrote it."""
    text = content.decode(errors="replace")
    mark = _MARK.search(text)
    return mark is not None and mark[1] == bytes_digest(text[: mark.start()].encode())


def _marked(text: str) -> bytes:
    return f"{text}\n<!-- atariari {bytes_digest(text.encode())} -->\n".encode()


def configs_in(folder: Path) -> list[str]:
    """Return the configs that are complete in a folder, in the order of the games."""
    return [
        config
        for config in recorded_configs()
        if all(is_complete(config, split, folder) for split in frozen_config(config).splits)
    ]


def card(folder: Path) -> str:
    """Compose the card for the configs in a folder."""
    configs = configs_in(folder)
    names = list(dict.fromkeys(game_of_config(config) for config in configs))
    rows = []
    for config in configs:
        for split, s in frozen_config(config).splits.items():
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
                    {"split": split, "path": f"{config}/{split}-*.parquet"}
                    for split in frozen_config(config).splits
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
    frozen = load_manifest(name).statistics("v1")
    lines = []
    for v in game(name).variables("v1"):
        s = frozen[v.name]
        values = f"{v.values[0]} to {v.values[1]} {v.unit}"
        numbers = f"{abs(s.entropy):.2f} | {'yes' if s.probed else 'no'} | {s.ceiling_f1:.4f}"
        lines.append(f"| `{v.name}` | {v.description} | {values} | {numbers} |")
    return _GAME.format(name=name, title=game(name).title, labels=labels, variables="\n".join(lines))

"""The tables of `docs/deep.md` and its contact sheets; ``python -m tools.deep_page [GAME]...``.

The tables come from the files in `atariari_data/coverage` and from the manifests. Of each game that is named,
a contact sheet is drawn first: frames of the deep test split with a mark where each thing is said to be.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any, Final

import numpy as np

import atariari_data
from atariari_data.games import DEFAULT_LABEL_SET
from atariari_data.games import game as game_of
from atariari_data.positions import things
from builders.files import new_file
from builders.manifest import DEEP, load_manifest, load_recording
from builders.recording import PROBE_SPLITS
from builders.replay import Replayed, replay
from tools.marks import between

PAGE: Final = Path("docs/deep.md")
SHEETS: Final = Path("docs/img/deep")
BEGIN, END = "<!-- tables: python -m tools.deep_page -->", "<!-- end of tables -->"

_FRAMES, _COLUMNS = 12, 6
_SEED = 20
_COLOURS = 64

# Mean scores of a human and of random play (arXiv 1511.06581, appendix, as collected in DQN Zoo), and of DQN
# (doi 10.1038/nature14236, extended data table 2, as collected in PFRL).
_HUMAN: Final = {
    "alien": 7127.7,
    "amidar": 1719.5,
    "assault": 742.0,
    "asterix": 8503.3,
    "asteroids": 47388.7,
    "bank_heist": 753.1,
    "battle_zone": 37187.5,
    "berzerk": 2630.4,
    "bowling": 160.7,
    "boxing": 12.1,
    "breakout": 30.5,
    "chopper_command": 7387.8,
    "crazy_climber": 35829.4,
    "demon_attack": 1971.0,
    "freeway": 29.6,
    "frostbite": 4334.7,
    "gopher": 2412.5,
    "hero": 30826.4,
    "jamesbond": 302.8,
    "kangaroo": 3035.0,
    "krull": 2665.5,
    "kung_fu_master": 22736.3,
    "montezuma_revenge": 4753.3,
    "ms_pacman": 6951.6,
    "pitfall": 6463.7,
    "pong": 14.6,
    "private_eye": 69571.3,
    "qbert": 13455.0,
    "riverraid": 17118.0,
    "road_runner": 7845.0,
    "seaquest": 42054.7,
    "skiing": -4336.9,
    "space_invaders": 1668.7,
    "tennis": -8.3,
    "up_n_down": 11693.2,
    "venture": 1187.5,
    "video_pinball": 17667.9,
    "yars_revenge": 54576.9,
}
_DQN: Final = {
    "alien": 3069,
    "amidar": 739.5,
    "assault": 3359,
    "asterix": 6012,
    "asteroids": 1629,
    "bank_heist": 429.7,
    "battle_zone": 26300,
    "bowling": 42.4,
    "boxing": 71.8,
    "breakout": 401.2,
    "chopper_command": 6687,
    "crazy_climber": 114103,
    "demon_attack": 9711,
    "freeway": 30.3,
    "frostbite": 328.3,
    "gopher": 8520,
    "hero": 19950,
    "jamesbond": 576.7,
    "kangaroo": 6740,
    "krull": 3805,
    "kung_fu_master": 23270,
    "montezuma_revenge": 0,
    "ms_pacman": 2311,
    "pong": 18.9,
    "private_eye": 1788,
    "qbert": 10596,
    "riverraid": 8316,
    "road_runner": 18257,
    "seaquest": 5286,
    "space_invaders": 1976,
    "tennis": -2.5,
    "up_n_down": 8456,
    "venture": 380,
    "video_pinball": 42684,
}


def covered() -> list[dict[str, Any]]:
    """Return what is in the coverage files, in the order of the games."""
    folder = Path(atariari_data.__file__).with_name("coverage")
    return [json.loads(file.read_bytes()) for file in sorted(folder.glob("*.json"))]


def tables() -> str:
    """Compose the tables."""
    columns = ["game", "search steps", "score, random play", "score, deep", "human", "DQN"]
    columns += ["rooms, random play", "rooms, deep", "new frames", "newly probed"]
    lines = [f"| {' | '.join(columns)} |", "| --- " + "| ---: " * 8 + "| --- |"]
    found = covered()
    for c in found:
        name, rooms, score = c["game"], c["rooms"], c["score"]
        rooms = ("", "") if rooms["deep"] == rooms["random"] == 1 else (rooms["random"], rooms["deep"])
        cells = (
            game_of(name).title,
            " + ".join(f"{search['steps']:,}" for search in c["searches"]),
            *(f"{score[kind]:,.0f}" for kind in ("random", "deep")),
            *(f"{table[name]:,.0f}" if name in table else "" for table in (_HUMAN, _DQN)),
            *rooms,
            f"{c['fresh']:.1%}",
            ", ".join(f"`{v}`" for v in newly_probed(name)),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += [
        "",
        "## Rows",
        "",
        "| config | train | validation | test | left out | episodes |",
        "| --- " + "| ---: " * 5 + "|",
    ]
    for c in found:
        config = c["game"] + DEEP
        frozen = load_manifest(config).configs[config]
        rows = [f"{frozen.splits[split].rows:,}" for split in PROBE_SPLITS]
        episodes = sum(len(split.episodes) for split in frozen.splits.values())
        aside = f"{frozen.left_out.rows:,}" if frozen.left_out else ""
        lines.append(f"| `{config}` | {' | '.join(rows)} | {aside} | {episodes} |")
    lines += ["", "## Variables", "", "Lowest to highest value, and entropy in nats.", ""]
    for c in found:
        lines += [f"### {game_of(c['game']).title}", ""]
        if (SHEETS / f"{c['game']}.png").is_file():
            lines += [f"![Frames of the deep test split](img/deep/{c['game']}.png)", ""]
        lines += ["| variable | random play | deep |", "| --- | ---: | ---: |"]
        for name, values in c["variables"].items():
            kinds = (values[kind] for kind in ("random", "deep"))
            shown = (f"{low} to {high}, {abs(nats):.2f}" for low, high, nats in kinds)
            lines.append(f"| `{name}` | {' | '.join(shown)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def refreshed(text: str) -> str:
    """Return the page with the tables between its marks as they should be.

    Raises:
        DataError: The page has no such marks.
    """
    return between(text, BEGIN, END, tables())


def newly_probed(game: str) -> list[str]:
    """Return the variables that are probed in deep states and not in random play."""
    before = load_manifest(game).probed(DEFAULT_LABEL_SET)
    return [name for name in load_manifest(game + DEEP).probed(DEFAULT_LABEL_SET) if name not in before]


def paint(game: str, folder: Path) -> Path:
    """Write ``GAME.png``: frames of the deep test split, drawn at random, with all marks.

    Args:
        game: The game's name.
        folder: Where the picture is written; an existing one is replaced.
    """
    from PIL import Image

    from builders.picture import moment

    pictures = []
    for shown in drawn(game, _FRAMES):
        known = [thing for thing in things(game_of(game).variables()) if thing.stated]
        ram = np.frombuffer(shown.row.ram, np.uint8)
        raw = io.BytesIO()
        moment(shown.row.frame.rgb(), known, [thing.places(ram) for thing in known]).savefig(
            raw, format="png"
        )
        pictures.append(Image.open(raw).convert("RGB"))
    width, height = pictures[0].size
    sheet = Image.new(
        "RGB", (_COLUMNS * (width + 4) - 4, -(-len(pictures) // _COLUMNS) * (height + 4) - 4), "white"
    )
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % _COLUMNS * (width + 4), i // _COLUMNS * (height + 4)))
    file = folder / f"{game}.png"
    with new_file(file, replace=True) as part:
        small = sheet.quantize(_COLOURS, dither=Image.Dither.NONE)
        small.save(part, "PNG", optimize=True)
    return file


def drawn(game: str, count: int) -> list[Replayed]:
    """Draw rows of the deep test split at random, in order."""
    recording = load_recording(game + DEEP)
    test = PROBE_SPLITS.index("test")
    here = [np.flatnonzero((lane.split == test) & lane.kept) for lane in recording.lanes]
    row = np.concatenate([np.arange(len(rows)) for rows in here])
    lane = np.repeat(np.arange(len(here)), [len(rows) for rows in here])
    chosen = np.sort(np.random.default_rng(_SEED).permutation(len(row))[:count])
    found = []
    for number in np.unique(lane[chosen]).tolist():
        rows = list(replay(recording, number))
        found += [rows[i] for i in row[chosen][lane[chosen] == number].tolist()]
    return found


def main() -> None:
    """Draw the sheets of the games that are named, and bring the page up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("games", nargs="*", metavar="GAME")
    for game in parser.parse_args().games:
        paint(game_of(game).name, SHEETS)
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

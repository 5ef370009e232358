"""Croissant metadata of an exported copy (mlcommons.org/croissant): files, splits, columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from atariari_data.errors import UsageError
from atariari_data.games import game
from builders.card import CITATION, configs_in
from builders.digest import bytes_digest
from builders.files import new_file
from builders.manifest import DATASET_VERSION, frozen_config, game_of_config

FILE: Final = "croissant.json"
_MARK: Final = "atariari:digest"
_TYPES: Final = {
    "episode": ("sc:Integer", "The episode's number."),
    "step": ("sc:Integer", "Steps since the episode began; a gap is a row that was left out."),
    "action": ("sc:Integer", "ALE's number of the action; null on the last row of an episode."),
    "reward": ("sc:Float", "The action's reward; null on the last row of an episode."),
    "is_first": ("sc:Boolean", "Whether the episode begins here."),
    "is_last": ("sc:Boolean", "Whether the episode ends here."),
    "is_terminal": ("sc:Boolean", "Whether it ends because the game is over."),
    "lives": ("sc:Integer", "ALE's count of lives."),
}
_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification prescribes."""

Json = dict[str, Any]


def write_croissant(folder: Path) -> Path:
    """Write croissant.json for the configs in a folder, replacing only an unedited earlier one.

    Raises:
        UsageError: croissant.json is not ours or was edited.
        DataError: The file cannot be written.
    """
    file = folder / FILE
    if file.exists() and not is_ours(file.read_bytes()):
        raise UsageError(
            f"{file} already exists, and was not written by the export, or was edited since.",
            cure="Move it away and run the export again; finished files are kept.",
        )
    found = metadata(configs_in(folder))
    with new_file(file, replace=True) as part:
        part.write_bytes(_text({**found, _MARK: bytes_digest(_text(found))}))
    return file


def is_ours(content: bytes) -> bool:
    """Return whether a file is unchanged since `write_croissant` wrote it."""
    try:
        found = json.loads(content)
        mark = found.pop(_MARK)
    except (ValueError, KeyError, AttributeError, TypeError):
        return False
    return bool(mark == bytes_digest(_text(found)))


def metadata(configs: list[str]) -> Json:
    """Return the metadata: a set of files and a set of records for each split of each config."""
    splits = [(config, split) for config in configs for split in frozen_config(config).splits]
    titles = dict.fromkeys(game(game_of_config(config)).title for config in configs)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": "AtariARI",
        "description": f"Frames of {', '.join(titles)}, each with the game's state, read from RAM.",
        "version": DATASET_VERSION,
        "url": "https://atariari.github.io/atariari/dataset.html",
        "license": "https://spdx.org/licenses/MIT.html",
        "usageInfo": "The licence covers software, labels and recorded actions. The frames show games whose "
        "ROMs have their own licences and owners; the dataset contains no ROM.",
        "creator": {"@type": "sc:Organization", "name": "The atariari authors"},
        "citeAs": CITATION,
        "distribution": [
            {
                "@type": "cr:FileSet",
                "@id": f"files/{config}/{split}",
                "description": f"The Parquet files of {config}, {split}.",
                "encodingFormat": "application/x-parquet",
                "includes": f"{config}/{split}-*.parquet",
            }
            for config, split in splits
        ],
        "recordSet": [_records(config, split) for config, split in splits],
    }


def _records(config: str, split: str) -> Json:
    name, files = f"{config}/{split}", f"files/{config}/{split}"

    def source(column: str, path: str | None = None) -> Json:
        found: Json = {"fileSet": {"@id": files}, "extract": {"column": column}}
        return found if path is None else {**found, "transform": {"jsonPath": path}}

    def field(column: str, kind: str, description: str, **more: Any) -> Json:
        return {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "description": description,
            "dataType": kind,
            **more,
        }

    variables = [
        field(f"labels/{v.name}", "sc:Integer", v.description, source=source("labels", v.name))
        for v in game(game_of_config(config)).variables("v1")
    ]
    frozen = frozen_config(config).splits[split]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "description": f"The {frozen.rows} rows of {config}, {split}, with digest blake3:{frozen.digest}.",
        "field": [
            field(
                "frame",
                "sc:ImageObject",
                "RGB, 210 x 160: pixelwise maximum of the last two screens.",
                source=source("frame", "bytes"),
            ),
            field(
                "ram",
                "sc:Integer",
                "The 128 bytes of RAM after the same step.",
                isArray=True,
                arrayShape="128",
                source=source("ram"),
            ),
            {
                **field("labels", "sc:Text", "Label set v1."),
                "subField": variables,
            },
            *(field(column, kind, text, source=source(column)) for column, (kind, text) in _TYPES.items()),
        ],
    }


def _text(content: Json) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()

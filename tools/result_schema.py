"""The result file's JSON Schema and table of fields; ``python -m tools.result_schema`` writes both anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.results.result import Result

_BEGIN, _END = "<!-- fields: begin -->\n", "<!-- fields: end -->\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a result file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made by `python -m tools.result_schema`; the form that signatures need is in result.md.",
        **Result.model_json_schema(),
    }


def table() -> str:
    """Return every field as Markdown: where it is, what it is, what is allowed."""
    rows = ["| field | what it is | values |", "| --- | --- | --- |"]
    root = schema()
    rows += [f"| `{path}` | {text} | {kind} |" for path, text, kind in _fields(root, root["$defs"], "")]
    return "\n".join(rows) + "\n"


def with_table(document: str) -> str:
    """Return a document with the table between its two marks made anew."""
    before, rest = document.split(_BEGIN)
    return before + _BEGIN + table() + _END + rest.split(_END)[1]


def main(folder: Path = Path("docs")) -> None:
    """Write both files in ``folder``."""
    (folder / "result.schema.json").write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
    document = (folder / "result.md").read_text(encoding="utf-8")
    (folder / "result.md").write_text(with_table(document), encoding="utf-8")


def _fields(node: dict[str, Any], models: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for name, field in node["properties"].items():
        where = f"{path}.{name}".lstrip(".")
        inner, steps = _innermost(field)
        model = models[inner["$ref"].rsplit("/", 1)[1]] if "$ref" in inner else None
        text = field.get("description") or (model or {}).get("description", "")
        yield where, " ".join(text.replace("``", "`").split()), _kind(field)
        if model is not None:
            yield from _fields(model, models, where + steps)


def _innermost(node: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return what lists and open objects hold in the end, and the steps to it."""
    steps = ""
    while "$ref" not in node:
        if options := [option for option in node.get("anyOf", []) if option.get("type") != "null"]:
            node = options[-1]
        elif node.get("type") == "array":
            node, steps = node["items"], steps + "[]"
        elif values := node.get("additionalProperties") or list(node.get("patternProperties", {}).values()):
            node, steps = values[0] if isinstance(values, list) else values, steps + ".*"
        else:
            break
    return node, steps


def _kind(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(option) for option in field["anyOf"]))
    if values := field.get("enum", [field["const"]] if "const" in field else []):
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    if field.get("maximum") == 1:
        return "0 to 1, four places"
    if field.get("type") == "array" and "$ref" not in field["items"]:
        return f"list of {_kind(field['items'])}"
    names = {"array": "list", "string": "text", "number": "decimal"}
    kind = str(field.get("type", "object"))  # without a type it refers to another model
    return names.get(kind, kind)


if __name__ == "__main__":
    main()

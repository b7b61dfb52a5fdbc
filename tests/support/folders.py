"""Folders of systems outside the product."""

from __future__ import annotations

import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path


def folder_of(tmp_path: Path, name: str, like: str = "float") -> Path:
    """A folder as a firm has it that copied one of the product, without its code."""
    folder = tmp_path / name
    with as_file(files("connectors.vendors") / like) as packaged:
        shutil.copytree(packaged, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    mapping = folder / "mapping.yaml"
    text = mapping.read_text().replace(f"system: {like}\n", f"system: {name}\nvendor: {like}\n")
    mapping.write_text(text.replace(f'"{like}:', f'"{name}:'))
    for file, key in (("source.json", "topic.prefix"), ("sink.json", "target")):
        path = folder / file
        if path.is_file():
            prefix = "src." if key == "topic.prefix" else ""
            of = json.loads(path.read_text()) | {key: f"{prefix}{name}"}
            path.write_text(json.dumps(of, indent=2))
    return folder

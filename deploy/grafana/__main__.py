"""Writes the dashboards as Grafana reads them: `python -m deploy.grafana`, in the repository."""

from pathlib import Path
from typing import Final

from deploy.grafana import delivery, executives, finance, operations
from deploy.grafana.parts import as_json

FOLDER: Final = Path(__file__).resolve().parent / "dashboards"
DASHBOARDS: Final = (
    operations.dashboard,
    executives.dashboard,
    delivery.dashboard,
    finance.dashboard,
)


def files() -> dict[str, str]:
    """Name of each file to its text."""
    built = [make() for make in DASHBOARDS]
    return {f"{it.uid}.json": as_json(it) for it in built}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text)

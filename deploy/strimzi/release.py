"""The firm of a release of the chart, as `helm template` renders it.

Its pod `check` reads every file of the firm and has every variable, so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from runtime.settings import FILE_SUFFIX
from schemas.errors import ConfigError

_COMPONENT: Final = "app.kubernetes.io/component"
_MOUNT: Final = "/etc/psastream"
RENDER: Final = "helm template psastream deploy/helm/psastream --values FILE writes them"


@dataclass(frozen=True, slots=True)
class Release:
    """The variables of a release's processes, without secrets, and its connector files.

    Variables that name files of Secrets are as in the pod: here they are not.
    """

    environment: Mapping[str, str]
    files: tuple[Path, ...]

    def over(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return an environment in which the release's variables stand, but for secrets."""
        secrets = {name for name in environment if name.endswith(FILE_SUFFIX)}
        return {**environment, **self.environment, **{name: environment[name] for name in secrets}}


def read_release(text: str, folder: Path) -> Release:
    """Write a release's files below `folder`, and return them with its variables.

    Raises ConfigError unless these are the manifests of one release.
    """
    try:
        manifests = [each for each in yaml.safe_load_all(text) if isinstance(each, dict)]
        [pod] = [each for each in manifests if each["kind"] == "Pod" and _is_check(each)]
    except (yaml.YAMLError, KeyError, ValueError) as error:
        raise ConfigError(
            "the manifests are not those of one release of the chart",
            hint=RENDER,
        ) from error
    maps = {each["metadata"]["name"]: each for each in manifests if each["kind"] == "ConfigMap"}
    for path, content in _files(pod, maps):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    [container] = pod["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    words = [word.partition("=")[2] for word in container["args"]]
    return Release(
        {
            name: value if name.endswith(FILE_SUFFIX) else value.replace(_MOUNT, str(folder))
            for name, value in variables.items()
        },
        tuple(Path(word.replace(_MOUNT, str(folder))) for word in words if word),
    )


def _is_check(manifest: Mapping[str, Any]) -> bool:
    return bool(manifest["metadata"]["labels"].get(_COMPONENT) == "check")


def _files(pod: Mapping[str, Any], maps: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield where each file of the pod's ConfigMaps lies, and what it holds."""
    for volume in pod["spec"]["volumes"]:
        for source in volume.get("projected", {}).get("sources", ()):
            if (named := source.get("configMap")) is not None:
                for item in named["items"]:
                    yield item["path"], maps[named["name"]]["data"][item["key"]]

"""Completes the CycloneDX list of an environment: `complete.py FILE ENVIRONMENT`, on its base.

What the base has is added: the distribution, its packages as dpkg knows them, and the interpreter.
Advisories of Debian are by source package: where that has another name or version, the purl says so
as `upstream`. A package of Python that tells its licence in words of its own is listed without one:
the words are added.
"""

import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packageurl import PackageURL

FIELDS = ("db:Status-Status", "Package", "Version", "Architecture", "source:Package",
          "source:Version")  # fmt: skip
Component = dict[str, Any]


def main(path: str, environment: str) -> None:
    """Write the list anew."""
    file = Path(path)
    document = json.loads(file.read_text())
    tell_licences(document["components"], Path(environment))
    document["components"] += [distribution(), interpreter(), *packages()]
    file.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def tell_licences(components: Iterable[Component], environment: Path) -> None:
    """Add the first line of what a package says to those of its environment without a licence."""
    [packages] = environment.glob("lib/python*/site-packages")
    told = {it.name: it.metadata["License"] or "" for it in distributions(path=[str(packages)])}
    for each in components:
        if not each.get("licenses") and (words := told[each["name"]].partition("\n")[0]):
            each["licenses"] = [{"license": {"name": words, "acknowledgement": "declared"}}]


def distribution() -> Component:
    """Return what the base is, as its os-release says."""
    release = platform.freedesktop_os_release()
    return {
        "type": "operating-system",
        "bom-ref": "base",
        "name": release["ID"],
        "version": release["VERSION_ID"],
        "description": release["PRETTY_NAME"],
    }


def interpreter() -> Component:
    """Return the Python that runs all."""
    version = platform.python_version()
    cpe = f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"
    return {**_component("application", PackageURL("generic", None, "python", version)), "cpe": cpe}


def packages() -> Iterator[Component]:
    """Yield the installed packages of the distribution, by name."""
    release = platform.freedesktop_os_release()
    form = "\\t".join(f"${{{field}}}" for field in FIELDS) + "\\n"
    told = subprocess.check_output(["dpkg-query", "--show", f"--showformat={form}"], text=True)
    for line in sorted(told.splitlines()):
        status, name, version, architecture, source, source_version = line.split("\t")
        if status != "installed":
            continue
        qualifiers = {"arch": architecture, "distro": f"{release['ID']}-{release['VERSION_ID']}"}
        if source_version != version:
            qualifiers["upstream"] = f"{source}@{source_version}"
        elif source != name:
            qualifiers["upstream"] = source
        url = PackageURL("deb", release["ID"], name, version, qualifiers)
        yield _component("library", url)


def _component(kind: str, url: PackageURL) -> Component:
    text = url.to_string()
    return {
        "type": kind,
        "bom-ref": text,
        "name": url.name,
        "version": url.version or "",
        "purl": text,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What is in the image of production, and what is not. `make verify-image`."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import stat
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

from tests.image.engine import USER, Image
from tests.support.licences import LOOKED_AT, is_allowed
from tests.support.wheel import PYPROJECT, REPOSITORY, UV

LOCK = REPOSITORY / "requirements" / "image" / "psastream.lock"
LISTS = REPOSITORY / "requirements" / "image" / "sbom.lock"
SHARED = {"tmp", "var/tmp"}
"""Folders that everybody may write to, each what is his: read-only here like all others."""
ABSENT = ("cc", "gcc", "c++", "make", "ld", "pip", "pip3", "uv", "curl", "wget", "git", "ssh")
COMPLAINTS = """
import json, sys
from pathlib import Path
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
validator = JsonStrictValidator(SchemaVersion.V1_6)
errors = [validator.validate_str(Path(it).read_text()) for it in sys.argv[1:]]
print(json.dumps([str(it or "") for it in errors]))
"""


def packages(image: Image) -> Path:
    [found] = (image.root / "opt" / "psastream").glob("lib/python*/site-packages")
    return found


def installed(image: Image) -> dict[str, tuple[str, Path]]:
    """Version and folder of each package, by its name."""
    found = {}
    for folder in packages(image).glob("*.dist-info"):
        told = HeaderParser().parsestr((folder / "METADATA").read_text())
        found[key(told["Name"])] = (told["Version"], folder)
    return found


def key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def bill(image: Image) -> dict[str, Any]:
    text = (image.root / "usr" / "share" / "psastream" / "sbom.cdx.json").read_text()
    document: dict[str, Any] = json.loads(text)
    return document


def packages_of_python(image: Image) -> list[dict[str, Any]]:
    """Return the components that pip would install."""
    return [it for it in bill(image)["components"] if it.get("purl", "").startswith("pkg:pypi/")]


def entries(image: Image) -> Iterator[tuple[Path, int]]:
    for path in image.root.rglob("*"):
        yield path.relative_to(image.root), path.lstat().st_mode


def test_it_says_what_it_is_and_runs_as_a_user_of_its_own(image: Image, revision: str) -> None:
    labels = image.config["Labels"]

    assert image.config["User"] == f"{USER}:{USER}"
    assert image.config["Entrypoint"] == ["with-secrets", "psastream"]
    assert labels["org.opencontainers.image.version"] == PYPROJECT["project"]["version"]
    assert labels["org.opencontainers.image.revision"] == revision
    assert labels["org.opencontainers.image.licenses"] == PYPROJECT["project"]["license"]


def test_no_file_gives_rights_and_none_but_the_state_can_be_changed(
    image: Image, checked: Counter[str]
) -> None:
    found = list(entries(image))
    setuid = [path for path, mode in found if stat.S_ISREG(mode) and mode & 0o6000]
    writable = [
        str(path) for path, mode in found
        if mode & 0o002 and (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    ]  # fmt: skip
    owned = [str(path) for path, _ in found if (image.root / path).lstat().st_uid == USER]

    assert setuid == []
    assert set(writable) <= SHARED
    assert owned == ["var/lib/psastream"]
    checked["files of the image"] = len(found)
    checked["MB of the image"] = image.size_bytes // 1_000_000
    checked["layers"] = image.layers


def test_nothing_is_in_it_that_installs_compiles_or_plays(image: Image) -> None:
    folders = ("bin", "usr/bin", "usr/local/bin", "opt/psastream/bin", "usr/sbin")
    programs = {path.name for folder in folders for path in (image.root / folder).glob("*")}
    names = {path.name for path in packages(image).iterdir()}

    assert programs.isdisjoint(ABSENT)
    assert names.isdisjoint({"pip", "setuptools", "wheel", "uv", "sandbox", "pytest", "tests"})
    assert [path for path, mode in entries(image) if path.name == "tests" and stat.S_ISDIR(mode)
            if "site-packages" in path.parts] == []  # fmt: skip
    assert list((image.root / "root").glob(".*cache*")) == []
    assert list((image.root / "var" / "cache" / "apt").glob("**/*.deb")) == []
    assert not (image.root / "source").exists()


def test_packages_are_those_of_the_lock(image: Image, checked: Counter[str]) -> None:
    found = {name: version for name, (version, _) in installed(image).items()}
    pins = re.findall(r"^([\w.-]+)==([^ ;\\]+)", LOCK.read_text(), re.MULTILINE)
    product = {"psastream": PYPROJECT["project"]["version"]}

    assert {(key(name), version) for name, version in found.items()} - set(product.items()) <= {
        (key(name), version) for name, version in pins
    }
    assert {*found} == {key(name) for name, _ in pins} | {*product}
    checked["packages of the lock"] = len(found) - 1


def test_every_file_of_the_packages_is_as_its_package_says(
    image: Image, checked: Counter[str]
) -> None:
    home = packages(image)
    recorded = set()
    for _, folder in installed(image).values():
        with (folder / "RECORD").open(newline="") as file:
            for name, digest, _ in csv.reader(file):
                path = (home / name).resolve()
                recorded.add(path)
                if digest:
                    algorithm, _, told = digest.partition("=")
                    was = hashlib.new(algorithm, path.read_bytes()).digest()
                    assert base64.urlsafe_b64encode(was).decode().rstrip("=") == told, name
    files = {path.resolve() for path in home.rglob("*") if path.is_file()}
    compiled = {path for path in files if path.suffix == ".pyc"}
    sources = {path.parent.parent / f"{path.name.partition('.')[0]}.py" for path in compiled}

    assert {path for path in files - compiled - recorded if path.parent != home} == set()
    assert {path.name for path in files - compiled - recorded} <= {
        "_virtualenv.py",
        "_virtualenv.pth",
    }
    assert sources <= files
    ours = {path for path in recorded if path.suffix == ".py" and "psastream" in path.parts}
    assert ours <= sources
    checked["files of packages"] = len(recorded)


def test_the_bill_of_materials_is_valid_and_names_what_is_installed(
    image: Image, tmp_path: Path, checked: Counter[str]
) -> None:
    document = bill(image)
    components = packages_of_python(image)
    named = [(key(each["name"]), each["version"]) for each in components]
    product = document["metadata"]["component"]
    found = {name: version for name, (version, _) in installed(image).items()}

    assert found.pop("psastream") == product["version"]
    assert product["name"] == "psastream"
    assert sorted(named) == sorted(found.items())
    assert {each["purl"] for each in components} == {
        f"pkg:pypi/{name}@{version}" for name, version in named
    }
    wrong = document | {"components": [{"name": "without a type"}]}
    of_it, of_wrong = complaints(tmp_path, document, wrong)
    assert of_it == ""
    assert "type" in of_wrong
    checked["components of the bill of materials"] = len(named)


def test_the_bill_of_materials_names_what_the_base_has(image: Image, checked: Counter[str]) -> None:
    """The file of dpkg is read here by other means than where the list is made."""
    status = (image.root / "var" / "lib" / "dpkg" / "status").read_text()
    paragraphs = [HeaderParser().parsestr(each) for each in status.strip().split("\n\n")]
    held = [it for it in paragraphs if it["Status"] == "install ok installed"]
    urls = [it["purl"] for it in bill(image)["components"] if "purl" in it]
    found = {}
    for url in urls:
        if url.startswith("pkg:deb/debian/"):
            place, _, qualifiers = url.partition("?")
            name, _, version = unquote(place.removeprefix("pkg:deb/debian/")).partition("@")
            found[name, version] = dict(parse_qsl(qualifiers))

    assert len(held) > 50
    assert sorted(found) == sorted((it["Package"], it["Version"]) for it in held)
    for each in held:
        source, _, version = each.get("Source", each["Package"]).partition(" (")
        upstream = f"{source}@{version[:-1]}" if version else source
        told = found[each["Package"], each["Version"]]
        assert told.get("upstream", each["Package"]) == upstream
        assert told["arch"] == each["Architecture"]
        assert told["distro"] == "debian-12"
    [system] = [it for it in bill(image)["components"] if it["type"] == "operating-system"]
    assert (system["name"], system["version"]) == ("debian", "12")
    [python] = [url.partition("@")[2] for url in urls if url.startswith("pkg:generic/python@")]
    assert packages(image).parent.name == f"python{python.rpartition('.')[0]}"
    checked["packages of the base"] = len(held)


def complaints(folder: Path, *documents: Mapping[str, Any]) -> list[str]:
    """Return what the strict validator of CycloneDX says of each document; nothing if it is one."""
    files = [folder / f"{number}.json" for number in range(len(documents))]
    for file, document in zip(files, documents, strict=True):
        file.write_text(json.dumps(document))
    command = [UV, "run", "--quiet", "--no-project", "--isolated", "--with-requirements", LISTS]
    told = subprocess.check_output([*command, "python", "-c", COMPLAINTS, *files], text=True)
    return list(json.loads(told))


def test_every_component_has_a_licence_that_is_allowed(image: Image) -> None:
    odd = {}
    for each in packages_of_python(image):
        told = [
            it.get("expression") or it["license"].get("id") or it["license"]["name"]
            for it in each.get("licenses", ())
        ]
        words = [text.rpartition("::")[2].strip() for text in told]
        if not words or not all(map(is_allowed, words)):
            odd[key(each["name"])] = "; ".join(words)

    assert set(odd) == set(LOOKED_AT), odd


@pytest.mark.parametrize("name", sorted(LOOKED_AT))
def test_what_was_looked_at_is_in_it(image: Image, name: str) -> None:
    assert name in installed(image)

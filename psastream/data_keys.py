"""The data keys of a firm, for who keeps them."""

from __future__ import annotations

import json
from collections import Counter

import typer

from psastream.lines import say
from runtime.data_keys import DataKeys
from runtime.kafka import require_broker
from runtime.registry import Registry
from runtime.sealing import sealing_of
from runtime.settings import Settings
from schemas.errors import ConfigError


def data_keys(settings: Settings) -> DataKeys:
    """Return the keys. Raises ConfigError where the firm encrypts nothing."""
    sealing = sealing_of(settings, Registry(settings.registry).schema)
    if sealing is None:
        raise ConfigError(
            "no master key is named", hint="PSASTREAM_MASTER_KEYS_FILE names the file that has them"
        )
    require_broker(settings.kafka.client())
    return sealing.keys


def show_keys(settings: Settings, *, as_json: bool) -> None:
    """Print how many keys there are. Raises ConfigError, BrokerUnavailableError."""
    keys = data_keys(settings)
    subjects = keys.subjects()
    masters = Counter(master for found in subjects.values() for master in found)
    told = {
        "subjects": len(subjects),
        "master_keys": dict(sorted(masters.items())),
        "forgotten": len(keys.forgotten()),
    }
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    say(f"{sum(masters.values())} data keys of {len(subjects)} subjects")
    for master, count in sorted(masters.items()):
        say(f"{count} under the master key {master}")
    say(f"{told['forgotten']} forgotten")

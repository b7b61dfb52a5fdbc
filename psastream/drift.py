"""How what APIs describe of polled objects differs from what was accepted, and what hangs on it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import typer

from connectors.polled.fingerprint import (
    ACCEPTED,
    Difference,
    Fingerprint,
    differences,
    read_fields,
)
from connectors.polled.main import Connector, load_sources
from connectors.polled.order_log import Told, read_told
from connectors.polled.orders import NOTE_MAX
from connectors.systems import Systems
from connectors.toolkit.metadata import Describes
from psastream.access.files import reads_of
from psastream.exits import Exit
from psastream.landscape import FirmSystems, read_firm
from psastream.lines import instant, say
from psastream.people import who
from psastream.source_orders import FLUSH_S, Polled, polled_of, require_topic
from psastream.touched import Touched, touched
from runtime.kafka import RawRecord, publish_all, require_broker
from runtime.secrets import mask
from runtime.settings import Settings
from schemas.errors import ConfigError, PsaStreamError
from schemas.topics import SOURCE_ORDERS

ASK_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Asked:
    """Of what is asked. `files`: source files whose vendors are asked now; none: pollers were."""

    system: str | None = None
    objects: Sequence[str] = ()
    files: Sequence[Path] = ()

    def require_known(self, polled: Polled) -> None:
        """Raise ConfigError for a system or an object that is not polled."""
        if self.system is None:
            return
        if self.system not in polled:
            hint = f"one of {', '.join(polled)}" if polled else "no system of the firm is polled"
            raise ConfigError(f"not a polled system: {self.system}", hint=hint)
        known = polled[self.system]
        if unknown := [obj for obj in self.objects if obj not in known]:
            raise ConfigError(
                f"{self.system} has no {', '.join(unknown)}", hint=f"it has {', '.join(known)}"
            )

    def includes(self, system: str, obj: str) -> bool:
        """Whether an object is meant."""
        return self.system in (None, system) and (not self.objects or obj in self.objects)


@dataclass(frozen=True, slots=True)
class Accepting:
    """That what is described is taken as it is, and why."""

    note: str | None = None
    is_dry: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """What an object's API describes, against what was accepted: None where nothing was yet."""

    now: Fingerprint
    accepted: Fingerprint | None
    differences: Sequence[tuple[Difference, Touched]] = ()

    def as_records(self) -> Iterator[dict[str, Any]]:
        """Yield what JSON shows of each difference."""
        since = self.accepted
        for difference, hanging in self.differences:
            yield {
                "system": self.now.system,
                "object": self.now.obj,
                **asdict(difference),
                "kind": difference.kind.value,
                "accepted_at": instant(since.at) if since else None,
                "accepted_by": since.by if since else None,
                "touched": asdict(hanging),
            }

    def say(self) -> None:
        """Print it."""
        head = f"{self.now.system} {self.now.obj}: "
        if self.accepted is None:
            say("nothing was accepted yet", head)
        elif not self.differences:
            at, by = instant(self.accepted.at), self.accepted.by
            say(f"as accepted {at} by {by}", head)
        for difference, hanging in self.differences:
            say(f"{difference.kind.value}: {difference.told()}", head)
            for line in hanging.told():
                say(line, "  ")


def print_drift(
    settings: Settings, asked: Asked, accepting: Accepting | None = None, *, as_json: bool = False
) -> Exit:
    """Print what differs, with what hangs on it, and accept it where that is meant.

    FAILED while something differs that is not accepted, or where a vendor did not tell. Raises
    ConfigError, and BrokerUnavailableError where it is not known what was accepted.
    """
    firm = read_firm(settings)
    asked.require_known(polled_of(firm, settings))
    if accepting and accepting.note and len(accepting.note) > NOTE_MAX:
        raise ConfigError(
            f"the note is too long: {len(accepting.note)}", hint=f"{NOTE_MAX} at most"
        )
    connectors = load_sources(asked.files, os.environ, Systems(settings.systems))
    require_broker(settings.kafka.client())
    require_topic(settings)
    told = read_told(settings.kafka)
    now, failures = seen_last(told), list[str]()
    if asked.files:
        now, failures = asyncio.run(seen_now(connectors, asked))
    found = compared(firm, now, told, asked)
    _print(found, as_json=as_json)
    for each in failures:
        say(each, is_error=True)
    open_ones = [each for each in found if each.differences]
    if accepting is not None:
        new = [each.now for each in found if each.differences or each.accepted is None]
        if _accept(settings, new, accepting, is_quiet=as_json):
            open_ones = []
    return Exit.FAILED if failures or open_ones else Exit.OK


def seen_last(told: Told) -> list[Fingerprint]:
    """Return what was described of each object last, to a poller or to whoever accepted it."""
    newest = sorted(told.fingerprints.values(), key=lambda each: each.at)
    return list({(each.system, each.obj): each for each in newest}.values())


async def seen_now(
    connectors: Sequence[Connector], asked: Asked
) -> tuple[list[Fingerprint], list[str]]:
    """Ask the vendors of connectors, whose sources are closed; return why one did not tell, too."""
    found: list[Fingerprint] = []
    failures: list[str] = []
    for each in connectors:
        system, source = each.config.system, each.source
        try:
            for obj in each.config.objects:
                if not isinstance(source, Describes) or not asked.includes(system, obj):
                    continue
                try:
                    async with asyncio.timeout(ASK_S):
                        fields = await source.describe(obj)
                except (TimeoutError, PsaStreamError) as error:
                    why = error.detail if isinstance(error, PsaStreamError) else "no answer in time"
                    failures.append(f"{system} {obj}: not described: {why}")
                    continue
                if fields is not None:
                    at = datetime.now(UTC)
                    found.append(Fingerprint(system, obj, at, who(), fields=fields))
        finally:
            await source.close()
    return found, failures


def compared(
    firm: FirmSystems, now: Sequence[Fingerprint], told: Told, asked: Asked
) -> list[Compared]:
    """Compare what is described with what was accepted, of the firm's systems. Pure."""
    reads, found = reads_of(firm), []
    for each in sorted(now, key=lambda it: (it.system, it.obj)):
        bundle = firm.bundles.get(each.system)
        if bundle is None or each.obj not in bundle.topics:
            continue  # of a system that the firm had
        if not asked.includes(each.system, each.obj):
            continue
        accepted = told.fingerprint(ACCEPTED, each.system, each.obj)
        before = each.fields if accepted is None else accepted.fields
        differ = differences(before, each.fields, read_fields(bundle.contract(each.obj)))
        hang = [(it, touched(firm, reads, bundle, each.obj, it)) for it in differ]
        found.append(Compared(each, accepted, hang))
    return found


def _print(found: Sequence[Compared], *, as_json: bool) -> None:
    if as_json:
        typer.echo(mask(json.dumps([it for each in found for it in each.as_records()], indent=2)))
        return
    for each in found:
        each.say()
    if not found:
        say("nothing is described: --source names files whose vendors are asked now")


def _accept(
    settings: Settings, described: Sequence[Fingerprint], accepting: Accepting, *, is_quiet: bool
) -> bool:
    """Keep what is described as accepted; False: a dry run."""
    if accepting.is_dry:
        if not is_quiet:
            say("nothing was done: a dry run")
        return False
    at, by = datetime.now(UTC), who()
    kept = [replace(each, at=at, by=by, note=accepting.note) for each in described]
    if not kept:
        if not is_quiet:
            say("nothing to accept")
        return True
    records = (RawRecord(0, each.key(ACCEPTED).encode(), each.to_bytes()) for each in kept)
    hint = "check the broker; give the same command again: what was accepted is accepted"
    publish_all(settings.kafka, SOURCE_ORDERS.name, records, within_s=FLUSH_S, hint=hint)
    if not is_quiet:
        say(f"{len(kept)} accepted")
    return True

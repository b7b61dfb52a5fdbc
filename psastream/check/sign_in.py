"""Do the vendors take the credentials of the given files?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from connectors.dispatch.config import SinkConfig
from connectors.polled.main import Connector
from connectors.toolkit.metadata import Describes
from connectors.toolkit.sign_in import SignsIn
from psastream.check.clocks import Clock
from psastream.check.findings import Finding
from psastream.check.metadata import metadata_findings, not_described
from psastream.verdict import Verdict
from schemas.errors import AuthenticationError, PsaStreamError, TransientError

SIGN_IN: Final = "sign-in"
ASK_S: Final = 20.0


class _Closing(Protocol):
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question to a vendor: an error, or its clock where it told one.

    `is_known`: whether there is a question that is cheap enough.
    """

    name: str
    ours: datetime
    is_known: bool = True
    error: PsaStreamError | None = None
    told: datetime | None = None
    metadata: Sequence[Finding] = ()
    """What its description of its objects, where it has one, means for those that are read."""


async def ask_vendors(
    sources: Sequence[Connector], sinks: Sequence[SinkConfig], *, timeout_s: float = ASK_S
) -> list[Asked]:
    """Ask all at once; closes the sources."""
    questions = [
        _ask(f"{each.config.name} (source)", each.source, timeout_s, each) for each in sources
    ]
    for each in sinks:
        # Nobody else holds a lease yet, and nothing is written.
        sink = each.make_sink(lambda: None)
        questions.append(_ask(f"{each.name} (sink)", sink, timeout_s))
    return list(await asyncio.gather(*questions))


async def _ask(
    name: str, part: _Closing, timeout_s: float, connector: Connector | None = None
) -> Asked:
    ours = datetime.now(UTC)
    if not isinstance(part, SignsIn):
        await part.close()
        return Asked(name, ours, is_known=False)
    try:
        async with asyncio.timeout(timeout_s):
            told = await part.sign_in()
        at, metadata = datetime.now(UTC), await _described(connector, timeout_s)
        return Asked(name, at, told=told, metadata=metadata)
    except TimeoutError:
        away = TransientError(f"no answer within {timeout_s:.0f} s")
        return Asked(name, ours, error=away)
    except PsaStreamError as error:
        return Asked(name, ours, error=error)
    finally:
        await part.close()


async def _described(connector: Connector | None, timeout_s: float) -> list[Finding]:
    """Return what is found of the objects that a vendor describes; nothing where it does not."""
    if connector is None or not isinstance(connector.source, Describes):
        return []
    name, described, findings = connector.config.name, {}, []
    for obj in connector.config.objects:
        try:
            async with asyncio.timeout(timeout_s):
                if (fields := await connector.source.describe(obj)) is not None:
                    described[obj] = fields
        except (TimeoutError, PsaStreamError) as error:
            why = error.detail if isinstance(error, PsaStreamError) else "no answer in time"
            findings.append(not_described(name, obj, why))
    return [*metadata_findings(name, connector.system, described), *findings]


def sign_in_finding(asked: Asked) -> Finding:
    """Return what is found of a vendor: refused credentials fail, silence may pass by itself."""
    error = asked.error
    if not asked.is_known:
        return Finding(SIGN_IN, asked.name, Verdict.SKIP, "no question is known that is cheap")
    if error is None:
        return Finding(SIGN_IN, asked.name, Verdict.OK, "is let in")
    verdict = Verdict.WARN if isinstance(error, TransientError) else Verdict.FAIL
    remedy = error.hint or (
        "check user, key and rights"
        if isinstance(error, AuthenticationError)
        else "check url in its file, and the network; it is tried again while processes run"
    )
    return Finding(SIGN_IN, asked.name, verdict, error.detail, remedy)


def clock_of(asked: Asked) -> Clock:
    """Return the vendor's clock."""
    return Clock(asked.name, asked.told, asked.ours)

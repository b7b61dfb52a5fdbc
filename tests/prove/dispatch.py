"""Proves that a command has one effect: `python -m tests.prove.dispatch --commands 10000`.

Two dispatchers as `psastream dispatch` runs them carry out commands at every simulated target,
while writes time out after their commit, are refused and fail, lists show new records late, and the
dispatchers are killed and stopped, all by the seed. What came of it is judged by what the targets
themselves hold and wrote, against the commands published. Beside it a plain client repeats each
request that fails, on the same commands and faults.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psastream.conformance.targets import SinkSubject
from runtime.kafka import KafkaSettings
from sandbox.stack.settings import Part
from tests.prove.dispatch_judge import Forms, Verdict, judge
from tests.prove.dispatch_plain import act_plainly, rehearse
from tests.prove.dispatch_plan import Chain, chains_of, rehearsal, samples, subjects
from tests.prove.dispatch_run import Desk, Dispatchers, Run, drive
from tests.prove.dispatch_twin import disturb, give, names_of, twin_of
from tests.support.stack import running_stack, stack_directory, stack_settings


@dataclass(frozen=True, slots=True)
class Proof:
    """What is ordered of whom, and what befalls them."""

    subjects: Sequence[SinkSubject]
    chains: Sequence[Chain]
    kills: int
    stops: int
    lag_s: float
    seed: int


def plain_verdicts(directory: Path, proof: Proof) -> tuple[dict[str, Verdict], Forms]:
    """Return what came of the commands with a plain client, and what each does if all is well."""
    names = names_of(proof.subjects)
    with twin_of(directory, proof.subjects, proof.lag_s, proof.seed) as (twin, configs):
        environment = {**os.environ, **twin.environment}
        for each in samples(proof.subjects):
            asyncio.run(act_plainly(configs, environment, [each]))
        rehearsed = give(twin, proof.subjects, rehearsal(proof.subjects))
        forms = rehearse(twin, configs, environment, names, rehearsed)
        chains = give(twin, proof.subjects, proof.chains)
        disturb(twin, proof.subjects, proof.lag_s)
        asyncio.run(act_plainly(configs, environment, chains))
        effects, books = twin.admin.effects(), twin.admin.books()
    return judge(effects, books, names, forms, chains), forms


def dispatched_verdicts(
    directory: Path, proof: Proof, forms: Forms
) -> tuple[dict[str, Verdict], Run]:
    """Return what came of the commands with two dispatchers, and what was done to them."""
    parts = frozenset({Part.KAFKA, Part.REGISTRY})
    with (
        stack_directory() as data,
        running_stack(stack_settings(data, os.environ, parts)) as stack,
        twin_of(directory, proof.subjects, proof.lag_s, proof.seed) as (twin, configs),
    ):
        kafka = KafkaSettings(bootstrap_servers=stack.addresses.bootstrap_servers)
        desk = Desk(kafka, stack.addresses.registry_url, list(configs))
        command = [str(Path(sys.executable).parent / "psastream"), "dispatch"]
        for path in configs.values():
            command += ["--config", str(path)]
        environment = {
            **os.environ,
            **twin.environment,
            "PSASTREAM_BOOTSTRAP_SERVERS": stack.addresses.bootstrap_servers,
            "PSASTREAM_REGISTRY_URL": stack.addresses.registry_url,
        }
        dispatchers = Dispatchers(command, environment, directory)
        try:
            for each in samples(proof.subjects):
                drive(desk, dispatchers, [each], kills=0, stops=0, seed=proof.seed)
            chains = give(twin, proof.subjects, proof.chains)
            disturb(twin, proof.subjects, proof.lag_s)
            run = drive(
                desk,
                dispatchers,
                chains,
                kills=proof.kills,
                stops=proof.stops,
                seed=proof.seed,
            )
        finally:
            dispatchers.end()
            desk.close()
        effects, books = twin.admin.effects(), twin.admin.books()
    return judge(effects, books, names_of(proof.subjects), forms, chains), run


def main() -> int:
    """Prove it; 1 where a command had no effect, or several."""
    options = _options()
    found = subjects()
    chains = chains_of(found, options.commands, options.seed)
    proof = Proof(found, chains, options.kills, options.stops, options.lag, options.seed)
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="psastream-prove-") as temporary:
        directory = Path(options.directory or temporary)
        plain, forms = plain_verdicts(directory / "plain", proof)
        sys.stderr.write(f"the plain client took {time.monotonic() - started_s:.0f} s\n")
        acted, run = dispatched_verdicts(directory / "dispatch", proof, forms)
    sys.stdout.write(
        f"search lag up to {options.lag} s of real time; {time.monotonic() - started_s:.0f} s;"
        f" results {dict(run.told)}; dispatchers that ended by themselves: {run.ended}\n"
    )
    total, total_plain = Verdict(), Verdict()
    for name, verdict in acted.items():
        sys.stdout.write(f"{name}: {_line(verdict, plain[name], run)}\n")
        total.add(verdict)
        total_plain.add(plain[name])
    sys.stdout.write(_line(total, total_plain, run) + "\n")
    return int(bool(total.duplicates or total.missing))


def _line(acted: Verdict, plain: Verdict, run: Run) -> str:
    return (
        f"duplicates={acted.duplicates} missing={acted.missing} commands={acted.commands}"
        f" kills={run.kills} stops={run.stops}"
        f" plain_duplicates={plain.duplicates} plain_missing={plain.missing}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.prove.dispatch", description=__doc__)
    parser.add_argument("--commands", type=int, default=10_000, help="in all (default: 10000)")
    parser.add_argument("--kills", type=int, default=50, help="of dispatchers (default: 50)")
    parser.add_argument("--stops", type=int, default=5, help="SIGSTOPs (default: 5)")
    parser.add_argument("--lag", type=float, default=6.0, help="longest lag of lists, seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", help="where logs stay (default: nowhere)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

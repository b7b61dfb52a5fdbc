"""Proofs from the topics alone."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.exits import errors_as_exit_codes, settings_from_environment

app = typer.Typer(no_args_is_help=True, help="Proofs from the topics alone.")


@app.command("accounting")
def prove_accounting(
    group: Annotated[list[str] | None, typer.Option(help="agent group; by default all")] = None,
    is_whole: Annotated[bool, typer.Option("--all", help="print every partition")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Prove that every source record was applied, stale, parked or dead-lettered."""
    from psastream.exits import Exit
    from psastream.lines import progress
    from psastream.prove import print_proof, proof_json, prove_accounting
    from psastream.worker import chosen_groups
    from runtime.registry import Registry

    with errors_as_exit_codes():
        settings = settings_from_environment()
        registry = Registry(settings.registry)
        groups = chosen_groups(settings, registry, group)
        with progress() as tell:
            proof = prove_accounting(settings.kafka, registry, groups, tell)
        if as_json:
            typer.echo(proof_json(proof))
        else:
            print_proof(proof, is_whole=is_whole)
        raise typer.Exit(Exit.OK if proof.holds else Exit.FAILED)

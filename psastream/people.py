"""Decisions that people type: who they are, and whether they mean it."""

from __future__ import annotations

import getpass
import os
import socket
import sys

import typer

from psastream.exits import Exit


def who() -> str:
    """Return the user and the host of this process, for an audit trail."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def is_meant(question: str, *, is_dry: bool, is_sure: bool) -> bool:
    """Return whether what was said is to be done: asked for on a terminal, unless it is sure.

    Without a terminal nobody can be asked: nothing is done, and the command ends as FAILED, so that
    no script takes it for done.
    """
    if is_dry:
        typer.echo("nothing was done: a dry run")
        return False
    if is_sure:
        return True
    if not sys.stdin.isatty():
        typer.echo("nothing was done: --yes does it without asking", err=True)
        raise typer.Exit(Exit.FAILED)
    return typer.confirm(question)

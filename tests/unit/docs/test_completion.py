"""Completion works as the page of installing says: in a shell that has run its block."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.blocks import SCRIPTS, Block, needing

BASH = """
complete_() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  "$(complete -p psastream | sed 's/.*-F \\([^ ]*\\).*/\\1/')" psastream
  printf '%s\\n' "${COMPREPLY[@]}"; }
complete_ psastream topics ''
complete_ psastream topics read psa.dlq --f
"""
FISH = """
complete --do-complete 'psastream topics '
complete --do-complete 'psastream topics read psa.dlq --f'
"""
ZSH = """
zmodload zsh/zpty
zpty shell 'TERM=dumb zsh -f -i'
zpty -w shell 'PS1=; autoload -U compinit; compinit -u -D'
zpty -w shell {block}
zpty -w shell 'print "re""ady"'
zpty -r shell said '*ready*'
zpty -w -n shell $'psastream topics \\t'
zpty -r shell said '*read  *'
print -r -- "$said"
zpty -w -n shell $'read psa.dlq --f\\t\\t'
zpty -r shell said '*--from  *'
print -r -- "$said"
"""
"""A terminal of its own, in which keys are pressed: zsh completes nowhere else."""


def found(shell: str) -> str:
    """Path of a shell; skips without it, fails without it where real parts are required."""
    path = shutil.which(shell)
    if path is None:
        reason = f"{shell} is missing: install it to try its completion"
        if os.environ.get("PSASTREAM_TEST_REQUIRE_REAL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def only(blocks: list[Block]) -> str:
    (block,) = blocks
    return block.text.strip()


@pytest.mark.parametrize(
    ("shell", "options", "script"),
    [
        ("bash", ["--norc", "-e", "-c"], only(needing("bash")) + BASH),
        ("zsh", ["-f", "-c"], ZSH.replace("{block}", shlex.quote(only(needing("zsh"))))),
        ("fish", ["--no-config", "-c"], only(needing("fish")) + FISH),
    ],
    ids=["bash", "zsh", "fish"],
)
def test_a_shell_completes_commands_and_options(
    shell: str, options: list[str], script: str, tmp_path: Path
) -> None:
    told = subprocess.run(
        [found(shell), *options, script],
        env={"PATH": f"{SCRIPTS}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.stdout)
    offered = set(re.findall(r"^([a-z-]+)(?=\s|$)", shown, re.MULTILINE))
    commands = {"list", "apply", "read", "save", "load"}
    assert offered - {"psastream", "ready"} == {*commands, "--from", "--follow"}

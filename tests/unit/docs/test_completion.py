"""Completion works as the page of installing says: in a bash that has run its block."""

from __future__ import annotations

import os
import subprocess

from tests.support.blocks import SCRIPTS, needing

ASKED = """
complete_() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  "$(complete -p psastream | sed 's/.*-F \\([^ ]*\\).*/\\1/')" psastream
  echo "${COMPREPLY[@]}"; }
complete_ psastream topics ''
complete_ psastream topics read psa.dlq --f
"""


def test_bash_completes_commands_and_options() -> None:
    (block,) = needing("bash")
    told = subprocess.run(
        ["bash", "-e", "-c", block.text + ASKED],
        env={"PATH": f"{SCRIPTS}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    commands, options = told.stdout.splitlines()
    assert set(commands.split()) == {"list", "apply", "read"}
    assert set(options.split()) == {"--from", "--follow"}

"""A Singer tap of the standard library alone, as a program: sound, or as hostile as told.

Its configuration names a file of rows (`rows`), a file to which it appends how it was started
(`started`), and what it does (`acts`), by default `[["rows"]]`:

- `["rows"]`: SCHEMA, the rows changed since its state (all without one) in order of change, STATE
- `["write", TEXT]`, `["err", TEXT]`: to standard output, to standard error
- `["flood", TEXT, N]`, `["err flood", TEXT, N]`: the same text so many times
- `["sleep", SECONDS]`, `["exit", CODE]`, `["signal", NUMBER]`
- `["child", SECONDS]`: a process that outlives the tap and keeps its output open
- `["deaf"]`: SIGTERM does not end it
- `["rewrite"]`: it changes its configuration, as taps do that keep fresh tokens there
"""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": ["null", "integer"]},
        "text": {"type": ["null", "string"]},
        "changed_at": {"type": ["null", "string"], "format": "date-time"},
        "rate": {"type": ["null", "number"]},
    },
}
CATALOG = {
    "streams": [
        {
            "stream": stream,
            "tap_stream_id": stream,
            "schema": SCHEMA,
            "key_properties": ["id"],
            "metadata": [
                {"breadcrumb": [], "metadata": {"inclusion": "available"}},
                {"breadcrumb": ["properties", "text"], "metadata": {"inclusion": "available"}},
            ],
        }
        for stream in ("visits", "others")
    ]
}


def say(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def read(options: dict[str, str], name: str) -> Any:
    return json.loads(Path(options[name]).read_text("utf-8")) if name in options else None


def rows(path: str, state: object, is_full: bool) -> None:
    found = json.loads(Path(path).read_text("utf-8"))
    found.sort(key=lambda row: (row["changed_at"], row["id"]))
    say({"type": "SCHEMA", "stream": "visits", "schema": SCHEMA, "key_properties": ["id"]})
    since = "" if is_full or not isinstance(state, dict) else state.get("changed_at", "")
    for row in found:
        if row["changed_at"] >= since:
            say({"type": "RECORD", "stream": "visits", "record": row})
    if found:
        say({"type": "STATE", "value": {"changed_at": found[-1]["changed_at"]}})


def tell_start(options: dict[str, str], config: dict[str, Any]) -> None:
    path = Path(options["config"])
    told = {
        "argv": sys.argv,
        "environment": dict(os.environ),
        "pid": os.getpid(),
        "config": config,
        "modes": [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)],
        "state": read(options, "state"),
        "catalog": read(options, "catalog"),
    }
    with Path(config["started"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")


def act(options: dict[str, str], config: dict[str, Any], name: str, words: list[Any]) -> None:
    match name:
        case "write":
            sys.stdout.write(words[0])
        case "err":
            sys.stderr.write(words[0])
        case "flood":
            sys.stdout.write(words[0] * words[1])
        case "err flood":
            sys.stderr.write(words[0] * words[1])
        case "sleep":
            time.sleep(words[0])
        case "exit":
            sys.exit(words[0])
        case "signal":
            os.kill(os.getpid(), words[0])
        case "child":
            code = f"import time; time.sleep({words[0]})"
            child = subprocess.Popen([sys.executable, "-I", "-S", "-c", code])
            Path(config["started"] + ".child").write_text(str(child.pid))
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "rewrite":
            Path(options["config"]).write_text(json.dumps({**config, "refresh_token": "next"}))
    sys.stdout.flush()
    sys.stderr.flush()


def main() -> None:
    options, arguments = {}, iter(sys.argv[1:])
    for argument in arguments:
        name = argument.removeprefix("--")
        options[name] = "" if name == "discover" else next(arguments)
    config = read(options, "config")
    tell_start(options, config)
    if "discover" in options:
        sys.stdout.write(json.dumps(CATALOG, indent=2))
        return
    catalog = read(options, "catalog") or {"streams": []}
    methods = [each["replication_method"] for each in catalog["streams"] if each["selected"]]
    for name, *words in config.get("acts", [["rows"]]):
        if name == "rows":
            rows(config["rows"], read(options, "state"), methods == ["FULL_TABLE"])
        else:
            act(options, config, name, words)


if __name__ == "__main__":
    main()

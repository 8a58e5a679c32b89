"""The systems that tenfour is compared with. Each is a server that runs while a block does."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess

from processes import Unmeasured, free_port, listening, read_line, running, wait_until


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    if not found:
        raise Unmeasured(f"{name} was not found")
    return found


@contextlib.contextmanager
def redis(folder, durable):
    """Redis that flushes its append-only file before it answers, or one that keeps no file. Yields the port."""
    port, errors = free_port(), folder / "redis.log"
    # No rewrite of the file during the run: that is in Redis' favour.
    file = ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]
    command = [program("redis-server"), "--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
    command += file if durable else ["--appendonly", "no"]
    with running(command, errors=errors) as process:
        wait_until(listening(port), "redis-server", process, errors)
        yield port


def redis_length(port, keys):
    """How many messages Redis has stored in the keys of the pump."""
    total = 0
    for key in range(keys):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"XLEN bench%d\r\n" % key)
            total += int(connection.recv(64).strip().lstrip(b":"))
    return total


@contextlib.contextmanager
def mosquitto(folder):
    """An MQTT broker that stores nothing. Yields the port."""
    port, errors, settings = free_port(), folder / "mosquitto.log", folder / "mosquitto.conf"
    user = pwd.getpwuid(os.geteuid()).pw_name  # as root it would become another user, who cannot read the folder
    settings.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser {user}\nlog_type error\n"
    )
    with running([program("mosquitto"), "-c", settings], errors=errors) as process:
        wait_until(listening(port), "mosquitto", process, errors)
        yield port


@contextlib.contextmanager
def nats(folder):
    """A NATS server that keeps nothing. Yields the port."""
    port, errors = free_port(), folder / "nats.log"
    with running([program("nats-server"), "-a", "127.0.0.1", "-p", port], errors=errors) as process:
        wait_until(listening(port), "nats-server", process, errors)
        yield port


JETSTREAM = """
server_name: n{number}
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{folder}", sync_interval: always }}
cluster {{ name: bench, listen: "127.0.0.1:{route}", routes: [{routes}] }}
"""


@contextlib.contextmanager
def jetstream(folder):
    """Three NATS servers whose streams are flushed before they are acknowledged. Yields their ports."""
    ports, routes = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    all_routes = ", ".join(f'"nats-route://127.0.0.1:{route}"' for route in routes)
    with contextlib.ExitStack() as stack:
        for number, (port, route) in enumerate(zip(ports, routes)):
            settings, errors = folder / f"n{number}.conf", folder / f"n{number}.log"
            values = {"number": number, "port": port, "folder": folder / f"n{number}", "route": route}
            settings.write_text(JETSTREAM.format(**values, routes=all_routes))
            process = stack.enter_context(running([program("nats-server"), "-c", settings], errors=errors))
            wait_until(listening(port), "nats-server (2.10 or newer)", process, errors)
        yield ports


@contextlib.contextmanager
def recipe_threads(helpers):
    """The recipe's server with one thread for each connection. Yields the port and the process."""
    with running([helpers / "recipe_threads"], stdout=subprocess.PIPE) as process:
        yield int(read_line(process, timeout=10)), process


def version(name, *arguments):
    try:
        lines = subprocess.run([program(name), *arguments], capture_output=True, text=True, timeout=10).stdout
        return lines.splitlines()[0]
    except (Unmeasured, IndexError):
        return f"{name}: not found"

#!/usr/bin/env python3
"""Attacks a server with what strangers and a key with few rights may do, and looks what an honest key feels of it.

    TENFOUR=target/release/tenfour python3 bench/attack.py [--only NAME ...] [--seconds N]

The honest one is a key with `send=honest`: one kept connection that sends fifty messages a second, and a new connection
with a message each second. The bars are those of promise P9: its p99 is at most four times the quiet one, or 20 ms; no
message of it fails; a new connection gets its receipt within a second; the server stays within its memory, and gives it back:
half a minute after the attack it has at most a fifth more than before. Where this is root it works in a network of its own, in
which attackers have two hundred addresses; where a memory controller is at hand, the server runs in a group of 160 MiB, with
`--memory-limit 128M`. Ends with 1 when a bar is missed.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import helpers
from processes import Unmeasured, die_with_parent, last_json, output, running, stop, wait_until
from tenfour import binary, listeners

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples" / "python"))
import tenfour_client as native

GROUP_BYTES = 160 << 20
RATE = 50

# In a network of its own: where the native listener is, and the attackers. All of it is this machine.
INSIDE, HOST, ATTACKERS = "TENFOUR_ATTACK_INSIDE", "10.9.0.1", ("10.9.1.1", 200)


class Target:
    """A server in a group of its own, with an honest key and one that has few rights."""

    def __init__(self, folder, group):
        self.folder, self.group = folder, group
        ports, self.log = folder / "ports", folder / "serve.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TENFOUR")}
        self.own, self.honest, self.guest = (
            inherited | {"TENFOUR_HOME": str(folder / name)} for name in ("own", "honest", "guest")
        )
        for env, rights in ((self.honest, ["send=honest"]), (self.guest, ["send=inbox", "read=large"])):
            key = output([binary(), "keys", "show"], 10, env).strip()
            output([binary(), "keys", "allow", key, *rights], 10, self.own)
        command = [binary(), "serve", "--store", folder / "store.db", "--quiet", "--memory-limit", "128M", "--http", "127.0.0.1:0"]
        command += ["--native", f"{host()}:0", "--text", "127.0.0.1:0", "--datagram", "127.0.0.1:0"]
        command += ["--port-file", ports]

        def enter():
            die_with_parent()
            if group:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        errors = open(self.log, "wb")
        self.process = subprocess.Popen([str(word) for word in command], env=self.own, stdout=errors, stderr=errors, preexec_fn=enter)

        self.ports = wait_until(lambda: listeners(ports), "tenfour serve", self.process, self.log)
        own = output([binary(), "keys", "show"], 10, self.own).strip()
        for env in (self.honest, self.guest):
            output([binary(), "keys", "trust", self.native, own], 10, env)
        wait_until(lambda: self.send() or None, "the honest key to be let in", self.process, self.log)

    @property
    def native(self):
        return f"{host()}:{self.ports['native']}"

    def send(self):
        """Seconds that a new connection with one message takes; None if it fails."""
        begun = time.monotonic()
        command = [str(binary()), "send", f"{self.native}/honest", "x", "--timeout", "5s"]
        done = subprocess.run(command, env=self.honest, capture_output=True)
        return time.monotonic() - begun if done.returncode == 0 else None

    def rss(self):
        """In KiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def host():
    return HOST if INSIDE in os.environ else "127.0.0.1"


class Sampler(threading.Thread):
    """The memory of the server, and new connections of the honest key, while something else goes on."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target, self.over = target, threading.Event()
        self.peak, self.fresh, self.failed = 0, [], 0

    def run(self):
        watch = threading.Thread(target=self.watch, daemon=True)
        watch.start()
        while not self.over.wait(1):
            took = self.target.send()
            if took is None:
                self.failed += 1
            else:
                self.fresh.append(took * 1000)
        watch.join()

    def watch(self):
        while not self.over.wait(0.05):
            with contextlib.suppress(OSError, StopIteration):
                self.peak = max(self.peak, self.target.rss())


def honest(target, seconds):
    """What the honest key feels for so long: latencies in ms, failures, the server's peak memory in KiB."""
    sampler = Sampler(target)
    sampler.start()
    command = [binary(), "bench", f"{target.native}/honest", "--rate", RATE, "--clients", 1, "--size", 64, "--seconds", seconds, "--json"]
    said = last_json(output(command, seconds + 60, target.honest))
    sampler.over.set()
    sampler.join()
    return {
        "p50": said["latency_us"]["p50"] / 1000,
        "p99": said["latency_us"]["p99"] / 1000,
        "fresh": max(sampler.fresh, default=float("inf")),
        "failed": sampler.failed,
        "rss": sampler.peak,
    }


# The attacks: each is a context in which it goes on.


def flood(port, connections, content, take=0):
    """Connections that send the same again and again."""

    @contextlib.contextmanager
    def attack(target, tools, seconds):
        what = target.folder / "flood"
        what.write_bytes(content)
        words = [tools / "flood", "127.0.0.1", target.ports[port], connections, seconds + 30, what, take]
        with running([str(word) for word in words]):
            yield

    return attack


def text(connections, size):
    return flood("text", connections, (b"x" * size + b"\n") * (65_536 // (size + 1)))


def http(connections, take):
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    return flood("http", connections, request * 500, take)


def datagrams(size):
    @contextlib.contextmanager
    def attack(target, tools, seconds):
        with running([str(word) for word in (tools / "datagram_load", target.ports["datagram"], size, seconds + 30)]):
            yield

    return attack


def connects(rate, with_hello):
    """Connections that begin and do not go on."""

    @contextlib.contextmanager
    def attack(target, tools, seconds):
        first, count = ATTACKERS if INSIDE in os.environ else ("127.0.0.1", 1)
        words = [tools / "connect_flood", host(), target.ports["native"], first, count, rate, 4_000, seconds + 30]
        if with_hello:
            hello = target.folder / "hello"
            hello.write_bytes(client_hello())
            words.append(hello)
        with running([str(word) for word in words]):
            yield

    return attack


def tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["tenfour/1"])
    return context


def client_hello():
    """The first bytes of a TLS client that speaks our protocol."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        tls().wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


@contextlib.contextmanager
def status(target, _, __):
    """A key that asks in a few bytes for long answers about its own stream, and takes none."""
    context, stream = tls(), secrets.token_bytes(16)
    context.load_cert_chain(target.folder / "guest" / "identity.pem")

    def link():
        one = native.Link(host(), target.ports["native"], context, time.monotonic() + 10)
        hello = native.field(0x81, struct.pack("!HH", 1, 1)) + native.field(0x02, b"attack")
        hello += native.field(0x83, secrets.token_bytes(16)) + native.field(0x84, struct.pack("!Q", 1))
        hello += native.field(0x85, b"\x02")
        return one, hello

    # Every second message is refused, so that each of the others is a run of its own.
    maker, hello = link()
    maker.say(native.HELLO, hello + native.field(0x87, stream + struct.pack("!QQBB", 0, 0, 1, 0)))
    settled, last = 0, 16_000
    for sequence in range(1, last + 1):
        mailbox = b"inbox" if sequence % 2 else b"NO"
        maker.say(native.MESSAGE, struct.pack("!QIBBH", sequence, 0, len(mailbox), 0, 0) + mailbox)
    while settled < last:
        for kind, _, body in maker.hear(time.monotonic() + 5):
            if kind == native.ERROR:
                raise Unmeasured(f"the server says {body}")
            if kind == native.RECEIPT:
                settled = struct.unpack_from("!Q", body)[0]
    question = native.field(0x81, struct.pack("!I", 1)) + native.field(0x82, stream)
    over = threading.Event()

    def ask():
        while not over.is_set():
            with contextlib.suppress(native.Cut, native.Failure, OSError):
                one, hello = link()
                one.say(native.HELLO, hello)
                for _ in range(2_000):
                    one.say(0x30, question)
                over.wait(15)
                one.tls.close()

    askers = [threading.Thread(target=ask, daemon=True) for _ in range(20)]
    for one in askers:
        one.start()
    yield
    over.set()


@contextlib.contextmanager
def readers(target, _, __):
    """A key that may read, whose readers take nothing."""
    large = target.folder / "large"
    large.write_bytes(os.urandom(1_000_000))
    for _ in range(4):
        output([binary(), "send", f"{target.native}/large", "-f", large], 30, target.own)
    readers = [
        subprocess.Popen(
            [str(binary()), "tail", f"{target.native}/large", "-f"], env=target.guest, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, preexec_fn=die_with_parent,
        )
        for _ in range(60)
    ]
    for one in readers:
        one.stdout.read(1)
        one.send_signal(signal.SIGSTOP)
    yield
    for one in readers:
        one.send_signal(signal.SIGCONT)
        stop(one)


@contextlib.contextmanager
def uploads(target, _, seconds):
    """A key that sends as fast as it can."""
    (target.folder / "upload").write_bytes(os.urandom(200_000) * 5)
    command = [binary(), "bench", f"{target.native}/inbox", "--clients", 4, "--window", 1000, "--size", 1024, "--seconds", seconds + 30]
    with running(command, env=target.guest):
        yield


ATTACKS = {
    "one text connection, empty lines": text(1, 0),
    "20 text connections, empty lines": text(20, 0),
    "4,000 text connections, lines of a byte": text(4_000, 1),
    "datagrams of 64 bytes, all out": datagrams(64),
    "datagrams of nothing, all out": datagrams(0),
    "silent sockets, 500 a second": connects(500, with_hello=False),
    "unfinished handshakes, 2,000 a second": connects(2_000, with_hello=True),
    "pipelined HTTP on 50 connections": http(50, take=1),
    "pipelined HTTP on 4,000 connections, unread": http(4_000, take=0),
    "a key that asks and does not read": status,
    "60 readers that take nothing": readers,
    "a known key that uploads": uploads,
}


@contextlib.contextmanager
def memory_group():
    """A group of the memory controller; None where there is none to be had."""
    for root in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")):
        limit = "memory.limit_in_bytes" if root.name == "memory" else "memory.max"
        group = root / f"tenfour-attack-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(GROUP_BYTES))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        try:
            yield group
        finally:
            with contextlib.suppress(OSError):
                group.rmdir()
        return
    yield None


def in_a_network_of_our_own():
    """Begins this program anew in one, where that may be."""
    if INSIDE in os.environ or os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        return
    script = f'ip link set lo up && ip address add {HOST}/16 dev lo && exec "$@"'
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, *sys.argv])


def settled(target, quiet):
    """The server's memory when it is back at a fifth more than it was, or half a minute after the attack."""
    end = time.monotonic() + 30
    while target.rss() > quiet * 1.2 and time.monotonic() < end:
        time.sleep(0.5)
    return target.rss()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="attacks whose names contain one of these words")
    parser.add_argument("--seconds", type=int, default=10, help="for how long each goes on [10]")
    options = parser.parse_args()
    in_a_network_of_our_own()
    missed = False
    with memory_group() as group, tempfile.TemporaryDirectory(prefix="attack-") as scratch:
        tools = helpers.build(Path(scratch))
        print(f"memory group: {'160 MiB' if group else 'none here'}; --memory-limit 128M; {options.seconds} s each\n")
        print("| attack | honest p50 / p99, quiet | during | slowest new connection | failed | RSS quiet / peak / after | met |")
        print("|---|---|---|---|---|---|---|")
        for name, attack in ATTACKS.items():
            if options.only and not any(word in name for word in options.only):
                continue
            with tempfile.TemporaryDirectory(prefix="attack-") as folder:
                target = Target(Path(folder), group)
                try:
                    quiet = honest(target, 5)
                    before = target.rss()
                    with attack(target, tools, options.seconds):
                        time.sleep(1)
                        felt = honest(target, options.seconds)
                    died = target.process.poll() is not None
                    after = 0 if died else settled(target, before)
                except (Unmeasured, OSError) as error:
                    reason = "the server was killed" if target.process.poll() is not None else str(error)
                    print(f"| {name} | {quiet['p50']:.1f} / {quiet['p99']:.1f} ms | {reason} | - | all | - | **no** |", flush=True)
                    missed = True
                    continue
                finally:
                    stop(target.process)
            bar = max(20.0, 4 * quiet["p99"])
            met = not died and felt["p99"] <= bar and not felt["failed"] and felt["fresh"] <= 1_000 and after <= before * 1.2
            missed |= not met
            print(
                f"| {name} | {quiet['p50']:.1f} / {quiet['p99']:.1f} ms | {felt['p50']:.1f} / {felt['p99']:.1f} ms"
                f" | {felt['fresh']:.0f} ms | {felt['failed']} | {before >> 10} / {felt['rss'] >> 10} / {after >> 10} MiB | {'killed' if died else 'yes' if met else '**no**'} |",
                flush=True,
            )
    sys.exit(missed)


if __name__ == "__main__":
    main()

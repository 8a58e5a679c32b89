"""The works. Each has a tenfour half and a peer half; a half is one measured run, and returns one figure."""

import contextlib
import os
import resource
import select
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import databases
import helpers
import peers
import tenfour
from processes import Lost, Unmeasured, descriptors, last_json, output, read_line, resident, running

GREETING = b"You are connected!"
TEXT = "The backup of tonight is done."


@dataclass(frozen=True)
class Setting:
    helpers: Path  # where the built C++ programs are
    folder: Path  # where this run may write
    seconds: float  # how long one run measures
    processes: int  # how many processes of each kind one run of `send` times
    connections: int  # how many idle connections are held


@dataclass(frozen=True)
class Work:
    title: str
    unit: str
    tenfour: Callable[[Setting], float] | None = None
    peer: Callable[[Setting], float] | None = None
    both: Callable[[Setting, bool], tuple] | None = None  # where the halves must alternate within one run
    brief: bool = False  # one figure says enough: few rounds


# Rates: messages that are receipted, with a window of unanswered ones.


def rate(*, clients, size, window=1000, mailboxes=1, store="store.db"):
    def measure(setting):
        with tenfour.serving(setting.folder, store=store) as server:
            return server.bench(
                clients=clients, window=window, size=size, seconds=setting.seconds, mailboxes=mailboxes
            )

    return measure


def redis_rate(*, clients, size, keys=1, durable=True):
    def measure(setting):
        with peers.redis(setting.folder, durable) as port:
            command = [setting.helpers / "pump", port, clients, 1000, size, keys, setting.seconds]
            result = last_json(output(command, setting.seconds + 60))
            if (stored := peers.redis_length(port, keys)) != result["messages"]:
                raise Lost(f"Redis answered {result['messages']} messages and holds {stored}")
            return result["messages_per_second"]

    return measure


def append_rate(setting):
    command = [setting.helpers / "append_sync", setting.folder / "log", 128, setting.seconds]
    return last_json(output(command, setting.seconds + 30))["messages_per_second"]


# A store that many servers share: on three databases, and on one.


def shared_rate(*, clients, size, window=1000, nodes=3):
    def measure(setting):
        with databases.postgres(setting.folder, nodes) as port:
            url = f"postgres://{databases.OWNER}@127.0.0.1:{port}/postgres"
            options = ["--durability", "replicated" if nodes > 1 else "disk"]
            with tenfour.serving(setting.folder, store=url, options=options) as server:
                return server.bench(clients=clients, window=window, size=size, seconds=setting.seconds)

    return measure


def jetstream_rate(*, clients, size, window=1000):
    def measure(setting):
        program = helpers.build_ask() / "jetstream_publish"
        with peers.jetstream(setting.folder) as ports:
            command = [program, ",".join(map(str, ports)), clients, window, size, setting.seconds]
            return last_json(output(command, setting.seconds + 120))["messages_per_second"]

    return measure


PIPELINE = 1000  # rows of one transaction

TABLE = """CREATE TABLE message(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream bigint, sequence bigint,
    time bigint, body bytea)"""

INSERT = "INSERT INTO message(stream, sequence, time, body) VALUES (1, 1, 1, decode(repeat('78', 128), 'hex'));\n"


def insert_rate(setting):
    with databases.postgres(setting.folder) as port:
        databases.sql(port, TABLE)
        script = "\\startpipeline\nBEGIN;\n" + INSERT * PIPELINE + "COMMIT;\n\\endpipeline\n"
        return PIPELINE * databases.pgbench(port, setting.folder, script, setting.seconds)


# One message a process.


def send(setting, with_tenfour):
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(peers.mosquitto(setting.folder))
        publish = [peers.program("mosquitto_pub"), "-h", "127.0.0.1", "-p", broker, "-t", "inbox", "-q", "1", "-m", TEXT]
        commands, env = ["--", *publish], None
        if with_tenfour:
            server = stack.enter_context(tenfour.serving(setting.folder, store="store.db"))
            commands = ["--", tenfour.binary(), "send", f"127.0.0.1:{server.native}", TEXT, *commands]
            env = server.env
        result = output([setting.helpers / "spawn_times", setting.processes, *commands], 120, env)
        medians = [microseconds / 1000 for microseconds in last_json(result)["median_us"]]
        if with_tenfour and (stored := server.newest_offset("inbox")) != setting.processes + 1:
            raise Lost(f"{setting.processes + 1} sends ended with 0, and the inbox holds {stored}")
        return tuple(medians) if with_tenfour else (None, *medians)


# The recipe's exchange.


def exchange(setting, port, stored):
    result = last_json(output([setting.helpers / "recipe_load", port, 64, setting.seconds, "close"], 60))
    if result["failed"] or result["hung"]:
        raise Lost(f"{result['failed']} connections failed, {result['hung']} hung")
    if (count := stored(result["connections"])) != result["connections"]:
        raise Lost(f"{result['connections']} messages written, {count} stored")
    return result["connections_per_second"]


def recipe(setting):
    with tenfour.serving(setting.folder, store="memory") as server:

        def stored(expected):
            # The last messages may still be on their way: a client that closes does not wait for an answer.
            end = time.monotonic() + 5
            while (count := server.newest_offset("inbox")) < expected and time.monotonic() < end:
                time.sleep(0.05)
            return count

        return exchange(setting, server.text, stored)


def recipe_threads(setting):
    with peers.recipe_threads(setting.helpers) as (port, process):

        def stored(_expected):
            process.terminate()
            return int(read_line(process, timeout=10))

        return exchange(setting, port, stored)


# Datagrams, all out.


BURST = 0.5  # seconds: then the store in memory is not full yet


def load(setting, port):
    return last_json(output([setting.helpers / "datagram_load", port, 64, BURST], 60))["sent"]


def datagrams(setting):
    with tenfour.serving(setting.folder, store="memory") as server:
        sent = load(setting, server.datagram)
        stored = -1
        while (count := server.newest_offset("inbox")) != stored:
            stored = count
            time.sleep(0.05)
    dropped = server.counted("datagram-kernel") + server.counted("datagram-dropped")
    if stored + dropped != sent:
        raise Lost(f"{sent} datagrams sent, {stored} stored, {dropped} counted as dropped")
    return stored / BURST


def datagrams_counted(setting):
    with running([setting.helpers / "datagram_count"], subprocess.PIPE, subprocess.PIPE) as process:
        load(setting, int(read_line(process, 10)))
        process.stdin.close()
        received = last_json(read_line(process, 10))["received"]
    return received / BURST


# HTTP: no peer promises the same, so the bar is a rate, and a latency that must not be passed.

SLOWEST_POST = 20.0  # ms, for 99 of 100

POST = 'wrk.method = "POST"\nwrk.body = string.rep("x", 128)\n'


def http_post(setting):
    script = setting.folder / "post.lua"
    script.write_text(POST)
    with tenfour.serving(setting.folder, store="store.db") as server:
        url = f"http://127.0.0.1:{server.http}/inbox"
        seconds = max(1, round(setting.seconds))
        command = [peers.program("wrk"), "-t1", "-c64", f"-d{seconds}s", "--latency", "-s", script, url]
        words = output(command, seconds + 60).split()
        if "Non-2xx" in words:
            raise Lost("some requests were refused")
        answered = int(words[words.index("requests") - 1])
        if (stored := server.newest_offset("inbox")) < answered:
            raise Lost(f"{answered} requests had their receipt, {stored} are stored")
        slowest = milliseconds(words[words.index("99%") + 1])
        if slowest >= SLOWEST_POST:
            raise Lost(f"one of 100 took {slowest} ms or longer")
        return float(words[words.index("Requests/sec:") + 1])


def milliseconds(text):
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise Unmeasured(f"wrk says {text}")


# Event streams: what they cost those who wait for receipts.

RATE = 50_000  # messages a second that arrive
MOST_EVENTS = 2_000  # a second, for each follower
QUIET, BUSY = 95, 5  # followers of a mailbox without messages, and of the one with all of them


def receipts_at_a_rate(server, setting):
    result = server.load("tenfour-bench", clients=2, window=5000, size=128, seconds=setting.seconds, rate=RATE)
    if result["messages_per_second"] < 0.98 * RATE:
        raise Lost(f"only {result['messages_per_second']:.0f} messages a second arrived")
    return result["latency_us"]["p50"] / 1000


def with_followers(setting):
    with tenfour.serving(setting.folder, store="store.db") as server:
        token = server.token("read=*")
        command = [setting.helpers / "event_streams", server.http, token, "quiet", QUIET, "tenfour-bench", BUSY]
        with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            if (line := read_line(process, timeout=10)) != "ready":
                raise Unmeasured(f"event_streams said {line[:100]}")
            figure = receipts_at_a_rate(server, setting)
            process.stdin.close()
            _, events = last_json(read_line(process, 10))["events"]
        if not 0.5 < events / (BUSY * MOST_EVENTS * setting.seconds) < 1.3:
            raise Lost(f"{BUSY} followers of the busy mailbox had {events} events in {setting.seconds} s")
        return figure


def without_followers(setting):
    with tenfour.serving(setting.folder, store="store.db") as server:
        return receipts_at_a_rate(server, setting)


# A question and its reply, one at a time.


def asked(command, setting, env=None):
    return last_json(output([*command, setting.seconds], setting.seconds + 60, env))["p50_us"]


def ask(setting):
    program = helpers.build_ask() / "tenfour_ask"
    env = os.environ | {"TENFOUR_HOME": str(setting.folder)}
    with running([program, "serve"], subprocess.PIPE, subprocess.PIPE, env=env) as process:
        figure = asked([program, "ask", read_line(process, 10)], setting, env)
        process.stdin.close()
    return figure


def ask_nats(setting):
    program = helpers.build_ask() / "nats_ask"
    with peers.nats(setting.folder) as port:
        with running([program, "answer", port], subprocess.PIPE, subprocess.PIPE) as process:
            if (line := read_line(process, 10)) != "ready":
                raise Unmeasured(f"nats_ask said {line[:100]}")
            figure = asked([program, "ask", port], setting)
            process.stdin.close()
    return figure


# Memory of connections that say nothing.


@contextlib.contextmanager
def descriptors_for(connections):
    """Raises the limit of open files as far as it goes; the programs started inside inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < connections + 200:
        raise Unmeasured(f"{connections} connections are more than the limit of open files, {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def greeted(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    greeting = b""
    while len(greeting) < len(GREETING):
        piece = connection.recv(len(GREETING) - len(greeting))
        if not piece:
            raise Unmeasured("a connection was closed before its greeting")
        greeting += piece
    return connection


@contextlib.contextmanager
def idle_text(port, connections):
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(greeted(port)) for _ in range(connections)]
        yield
        poll = select.poll()
        for connection in held:
            poll.register(connection, select.POLLIN)
        if closed := len(poll.poll(0)):
            raise Lost(f"{closed} of {connections} idle connections were closed")


@contextlib.contextmanager
def idle_native(server, connections):
    command = [tenfour.binary(), "bench", "--idle", connections, f"127.0.0.1:{server.native}"]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=server.env) as process:
        if (line := read_line(process, timeout=180)) != "ready":
            raise Unmeasured(f"`bench --idle` said {line[:100]}")
        yield
        process.stdin.close()  # which ends it; whoever does not end is stopped
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)


def growth(pid, hold, setting):
    """Resident bytes of the server for each connection that the block `hold` keeps open."""
    with hold(1):
        pass  # what the first connection costs once is not counted
    time.sleep(0.5)
    memory, files = resident(pid), descriptors(pid)
    with hold(setting.connections):
        time.sleep(1)
        memory, files = resident(pid) - memory, descriptors(pid) - files
    if files < setting.connections:
        raise Lost(f"the server held {files} of {setting.connections} connections")
    return memory / setting.connections


def idle_text_memory(setting):
    with descriptors_for(setting.connections):
        with tenfour.serving(setting.folder, store="memory", connections=tenfour.MAX_CONNECTIONS) as server:
            return growth(server.pid, lambda n: idle_text(server.text, n), setting)


def idle_native_memory(setting):
    with descriptors_for(setting.connections):
        with tenfour.serving(setting.folder, store="memory", connections=tenfour.MAX_CONNECTIONS) as server:
            return growth(server.pid, lambda n: idle_native(server, n), setting)


def idle_threads_memory(setting):
    with descriptors_for(setting.connections), peers.recipe_threads(setting.helpers) as (port, process):
        return growth(process.pid, lambda n: idle_text(port, n), setting)


WORKS = {
    "durable-1": Work(
        "durable, 128 B, 1 client, window 1,000; Redis with a flush before each answer",
        "msg/s",
        rate(clients=1, size=128),
        redis_rate(clients=1, size=128),
    ),
    "durable-8": Work(
        "the same, 8 clients, one mailbox; Redis: one key",
        "msg/s",
        rate(clients=8, size=128),
        redis_rate(clients=8, size=128),
    ),
    "durable-8-mailboxes": Work(
        "the same, 8 clients, 8 mailboxes; Redis: 8 keys",
        "msg/s",
        rate(clients=8, size=128, mailboxes=8),
        redis_rate(clients=8, size=128, keys=8),
    ),
    "durable-1-1k": Work(
        "durable, 1 KiB, 1 client; Redis the same",
        "msg/s",
        rate(clients=1, size=1024),
        redis_rate(clients=1, size=1024),
    ),
    "durable-8-1k": Work(
        "durable, 1 KiB, 8 clients; Redis the same",
        "msg/s",
        rate(clients=8, size=1024),
        redis_rate(clients=8, size=1024),
    ),
    "memory-1": Work(
        "in memory, 128 B, 1 client, window 1,000; Redis without a file",
        "msg/s",
        rate(clients=1, size=128, store="memory"),
        redis_rate(clients=1, size=128, durable=False),
    ),
    "shared-1": Work(
        "three PostgreSQL, 128 B, 1 client, window 1,000; JetStream, 3 replicas, flushed, a publish for each",
        "msg/s",
        shared_rate(clients=1, size=128),
        jetstream_rate(clients=1, size=128),
    ),
    "shared-1-1k": Work(
        "the same, 1 KiB",
        "msg/s",
        shared_rate(clients=1, size=1024),
        jetstream_rate(clients=1, size=1024),
    ),
    "shared-1000": Work(
        "the same, 128 B, 1,000 clients, one message at a time",
        "msg/s",
        shared_rate(clients=1000, size=128, window=1),
        jetstream_rate(clients=1000, size=128, window=1),
    ),
    "shared-disk": Work(
        "one PostgreSQL, 128 B, 1 client, window 1,000; pgbench, the rows pipelined, 1,000 a transaction",
        "msg/s",
        shared_rate(clients=1, size=128, nodes=1),
        insert_rate,
    ),
    "one-at-a-time": Work(
        "durable, 128 B, one message at a time; write + fdatasync alone",
        "msg/s",
        rate(clients=1, size=128, window=1),
        append_rate,
    ),
    "send": Work(
        "one durable `tenfour send` as a process; `mosquitto_pub -q 1` to a broker in memory", "ms", both=send
    ),
    "recipe": Work(
        "the recipe's exchange, 64 clients at once, in memory; a C++ thread for each connection",
        "conn/s",
        recipe,
        recipe_threads,
    ),
    "datagrams": Work(
        "datagrams of 64 B, all out, in memory; a C++ recvmmsg loop that only counts",
        "msg/s",
        datagrams,
        datagrams_counted,
    ),
    "http-post": Work(
        "HTTP: POST of 128 B, durable, 64 connections that are kept, p99 under 20 ms", "msg/s", http_post
    ),
    "events": Work(
        "a receipt while 50,000 messages/s arrive and 100 event streams follow, 5 of them the busy mailbox; without them",
        "ms",
        with_followers,
        without_followers,
    ),
    "ask": Work(
        "a question and its reply by a library handler, in memory; NATS request and reply with async-nats",
        "us",
        ask,
        ask_nats,
    ),
    "idle-text": Work(
        "10,000 idle text connections, memory of each; a C++ thread for each connection",
        "B",
        idle_text_memory,
        idle_threads_memory,
        brief=True,
    ),
    "idle-native": Work("10,000 idle native connections (TLS), memory of each", "B", idle_native_memory, brief=True),
}

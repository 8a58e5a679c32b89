"""Starting programs, and making sure that none of them outlives the benchmark."""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Unmeasured(Exception):
    """A figure could not be taken; the text says why."""


class Lost(Unmeasured):
    """A figure that does not count, because something broke its word: a message is missing, a connection was cut."""


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def folder(root):
    """A folder of its own for one run. Afterwards it is gone from the disk too, so that the next run does not pay."""
    path = Path(tempfile.mkdtemp(prefix="run-", dir=root))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.sync()


@contextlib.contextmanager
def running(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=None, errors=None):
    """A program that runs while the block does. `errors` is a file for its stderr, quoted if it ends too early."""
    with open(errors, "wb") if errors else contextlib.nullcontext(subprocess.DEVNULL) as stderr:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=stdin, stdout=stdout, stderr=stderr, env=env, preexec_fn=die_with_parent,
        )
    try:
        yield process
        if process.poll() is not None and process.returncode != 0:
            raise Unmeasured(f"{Path(command[0]).name} ended early{last_words(errors)}")
    finally:
        stop(process)


def stop(process, patience=10):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def last_words(file):
    if not file or not Path(file).exists():
        return ""
    lines = Path(file).read_text(errors="replace").strip().splitlines()
    return f": {lines[-1][:200]}" if lines else ""


def output(command, timeout, env=None):
    """Runs a program to its end and returns its stdout; any exit code but 0 is an error."""
    try:
        process = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, env=env,
            preexec_fn=die_with_parent,
        )
    except subprocess.TimeoutExpired:
        raise Unmeasured(f"{Path(command[0]).name} took longer than {timeout:.0f} s") from None
    if process.returncode != 0:
        words = (process.stderr.strip() or process.stdout.strip()).splitlines()
        raise Unmeasured(f"{Path(command[0]).name} exit {process.returncode}: {words[0][:200] if words else ''}")
    return process.stdout


def last_json(text):
    lines = text.strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        raise Unmeasured(f"no JSON in the last line: {lines[-1][:100] if lines else 'no output'}") from None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what, process=None, errors=None, timeout=15):
    """Waits for a condition to return something true, and returns that."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if process and process.poll() is not None:
            raise Unmeasured(f"{what}: the program ended with {process.returncode}{last_words(errors)}")
        if found := condition():
            return found
        time.sleep(0.01)
    raise Unmeasured(f"{what}: not within {timeout} s")


def listening(port):
    def attempt():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return attempt


def read_line(process, timeout):
    """One line of a program's stdout, which must be an unbuffered pipe of bytes."""
    end, line = time.monotonic() + timeout, b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0, end - time.monotonic()))
        if not ready:
            raise Unmeasured(f"no line from {Path(process.args[0]).name} within {timeout} s")
        piece = os.read(process.stdout.fileno(), 4096)
        if not piece:
            raise Unmeasured(f"{Path(process.args[0]).name} ended without a line")
        line += piece
    return line.decode(errors="replace").splitlines()[0].strip()


def resident(pid):
    """Bytes of memory that a process has in RAM."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise Unmeasured("no Rss in smaps_rollup")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))

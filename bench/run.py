#!/usr/bin/env python3
"""Measures tenfour beside its peers, and prints one table. See README.md."""

import sys

sys.dont_write_bytecode = True

import argparse
import os
import platform
import random
import signal
import statistics
import time
from dataclasses import replace
from pathlib import Path

import helpers
import peers
import tenfour
from bars import BARS
from processes import Lost, Unmeasured, folder, output
from works import WORKS, Setting

LONGEST = 40 * 60  # seconds; a run that takes longer is ended


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter and fewer runs: for a first look only")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=WORKS, help="only these works")
    parser.add_argument("--peers-only", action="store_true", help="measure the peers without tenfour")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument("--list", action="store_true", help="print the names of the works")
    return parser.parse_args()


def say(text):
    print(text, file=sys.stderr, flush=True)


def one_round(work, setting, with_tenfour, order):
    """One figure of each half, as (tenfour, peer), taken one right after the other in random order."""
    figures = {"tenfour": None, "peer": None}
    if work.both:
        with folder(setting.folder) as own:
            return work.both(replace(setting, folder=own), with_tenfour)
    halves = [name for name in figures if getattr(work, name) and (with_tenfour or name == "peer")]
    order.shuffle(halves)
    for name in halves:
        with folder(setting.folder) as own:
            figures[name] = getattr(work, name)(replace(setting, folder=own))
        time.sleep(0.2)
    return figures["tenfour"], figures["peer"]


def measure(name, setting, rounds, with_tenfour):
    """All rounds of a work: the figures of tenfour, those of the peer, and what went wrong, if anything."""
    order = random.Random(name)
    ours, theirs = [], []
    for number in range(rounds):
        try:
            tenfour_figure, peer_figure = one_round(WORKS[name], setting, with_tenfour, order)
        except (Unmeasured, OSError, KeyError) as reason:  # the other works go on
            say(f"{name}: {reason!r}")
            return ours, theirs, reason
        unit = WORKS[name].unit
        say(f"{name} {number + 1}/{rounds}: tenfour {short(tenfour_figure)}, peer {short(peer_figure)} {unit}")
        if tenfour_figure is not None:
            ours.append(tenfour_figure)
        if peer_figure is not None:
            theirs.append(peer_figure)
    return ours, theirs, None


def short(figure):
    if figure is None:
        return "-"
    if figure >= 1e6:
        return f"{figure / 1e6:.2f} M"
    if figure >= 1e4:
        return f"{figure / 1e3:.4g} k"
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.2f}"


def cell(figures, unit):
    if not figures:
        return "-"
    text = f"{short(statistics.median(figures))} {unit}"
    return f"{text} ({short(min(figures))} to {short(max(figures))})" if len(figures) > 1 else text


def row(name, ours, theirs, error):
    """The cells of a line of the table, and whether the bar was met (None: not measured)."""
    work, bar = WORKS[name], BARS[name]
    ratio = statistics.median(a / b for a, b in zip(ours, theirs)) if ours and theirs else None
    met = None
    if isinstance(error, Lost):
        met = False
    elif not error and ours and (ratio is not None or bar.stands_alone):
        met = bar.met(statistics.median(ours), ratio)
    verdict = {True: "yes", False: "**no**", None: "not measured"}[met] + (f": {error}" if error else "")
    ratio_cell = f"{ratio:.2f}x" if ratio is not None else "-"
    cells = [f"{work.title} (`{name}`)", cell(ours, work.unit), cell(theirs, work.unit), ratio_cell, str(bar), verdict]
    return [text.replace("|", "\\|") for text in cells], met


def machine(root):
    """What the figures depend on, in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    parts = [
        f"{len(os.sched_getaffinity(0))} cores",
        model,
        f"Linux {platform.release()}",
        filesystem(root),
        " ".join(peers.version("redis-server", "--version").split()[:3]),
        peers.version("mosquitto", "-h"),
        peers.version("g++", "--version"),
    ]
    return "; ".join(parts)


def filesystem(root):
    return output(["df", "--output=fstype", root], timeout=10).split()[-1]


def table(rows, head):
    lines = [head, "", "| work | tenfour median | peer median | ratio | bar | met |", "|---|---|---|---|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in rows]) + "\n"


def main():
    options = arguments()
    if options.list:
        print("\n".join(WORKS))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"bench: not ready after {LONGEST} s"))
    signal.alarm(LONGEST)

    if not options.peers_only:
        say(f"tenfour: {tenfour.binary()}")
    repository = Path(__file__).resolve().parent.parent
    root = Path(os.environ.get("BENCH_DIR") or repository / "target" / "bench")
    root.mkdir(parents=True, exist_ok=True)
    if filesystem(root) in ("tmpfs", "ramfs"):
        raise Unmeasured("BENCH_DIR is in memory: durable works need a disk")

    rounds, brief = (3, 1) if options.quick else (5, 3)
    rows, results = [], []
    with folder(root) as own:
        built = own / "helpers"
        built.mkdir()
        setting = Setting(
            helpers=helpers.build(built),
            folder=own,
            seconds=0.5 if options.quick else 2,
            processes=30 if options.quick else 100,
            connections=10_000,
        )
        for name in options.only or WORKS:
            times = brief if WORKS[name].brief else rounds
            cells, met = row(name, *measure(name, setting, times, not options.peers_only))
            rows.append(cells)
            results.append(met)

    kind = "quick runs, " if options.quick else ""
    text = table(rows, f"{kind}{machine(root)}")
    print(text, end="")
    if options.out:
        options.out.write_text(text)
    if False in results:
        return 1
    return 2 if None in results else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unmeasured as reason:
        sys.exit(f"bench: {reason}")
    except KeyboardInterrupt:
        sys.exit(130)

"""The small C++ programs in helpers/: built once a run, with what the compiler gives at -O2."""

import shutil
from pathlib import Path

from processes import Unmeasured, output

SOURCES = Path(__file__).resolve().parent / "helpers"

ROOT = SOURCES.parent.parent


def build_ask():
    """The programs in Rust, with the library of a peer. Gives their folder."""
    command = ["cargo", "build", "--profile", "dist", "--locked", "--quiet", "--package", "bench-ask"]
    output([*command, "--manifest-path", ROOT / "Cargo.toml"], timeout=900)
    return ROOT / "target" / "dist"


def build(folder):
    if not shutil.which("g++"):
        raise Unmeasured("g++ was not found")
    for source in sorted(SOURCES.glob("*.cpp")):
        output(["g++", "-std=c++17", "-O2", "-pthread", source, "-o", folder / source.stem], timeout=120)
    return folder

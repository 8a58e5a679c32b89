"""Reads `cargo metadata`, and holds every crate against deny.toml: its licence, where it comes from, what is banned.

What `cargo deny check licenses bans sources` looks at, without the minutes that it takes to build; advisories need a database that
is fetched: `cargo deny check advisories`.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

RULES = tomllib.loads((Path(__file__).resolve().parent.parent / "deny.toml").read_text())
ALLOWED = set(RULES["licenses"]["allow"])
BANNED = {ban["crate"] for ban in RULES["bans"]["deny"]}
SOURCE = re.compile(r"^registry\+https://github\.com/rust-lang/crates\.io-index$")


def allowed(expression):
    """An SPDX expression of AND, OR and brackets (the old `/` means OR)."""
    text = expression.replace("/", " OR ")
    tokens = re.findall(r"\(|\)|[A-Za-z0-9.+-]+(?: WITH [A-Za-z0-9.-]+)?", text)
    python = []
    for token in tokens:
        if token in ("(", ")"):
            python.append(token)
        elif token in ("AND", "OR"):
            python.append(token.lower())
        else:
            python.append(str(token in ALLOWED))
    return bool(python) and eval(" ".join(python), {"__builtins__": {}})


def main():
    packages = json.load(sys.stdin)["packages"]
    wrong = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        if package["source"] is not None and not SOURCE.match(package["source"]):
            wrong.append(f"{name}: unexpected source {package['source']}")
        if not package["license"] or not allowed(package["license"]):
            wrong.append(f"{name}: licence {package['license']!r}")
        if package["name"] in BANNED:
            wrong.append(f"{name}: banned")
        wrong += [
            f"{name}: any version of {needed['name']}"
            for needed in package["dependencies"]
            if package["source"] is None and needed["req"] == "*" and not needed.get("path")
        ]
    print(f"{len(packages)} crates looked at")
    for line in wrong:
        print(line)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

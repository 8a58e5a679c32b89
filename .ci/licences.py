"""Reads `cargo metadata`: every crate comes from crates.io or from here, under a licence that we may ship."""

import json
import re
import sys

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause",
    "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "NCSA", "Unicode-3.0", "Unlicense", "Zlib",
}
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
    print(f"{len(packages)} crates looked at")
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


main()

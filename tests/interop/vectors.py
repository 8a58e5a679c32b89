"""Gives the client in examples/python the RECEIPTs of docs/protocol/receipts.txt: it believes the good ones only."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/python"))

import tenfour_client as tenfour


def sender():
    """A client that has sent three messages to `inbox` and has no answer."""
    client = tenfour.Client("localhost", 1, sys.argv[1])
    for _ in range(3):
        client.send(b"x")
    client._restart_behind(3)
    return client


tried = 0
for line in (ROOT / "docs/protocol/receipts.txt").read_text().splitlines():
    if line.startswith("#"):
        continue
    verdict, body, why = line.split("\t")
    client = sender()
    try:
        answers, believed = list(client._take_receipt(bytes.fromhex(body))), True
    except tenfour.Fault:
        answers, believed = [], False
    assert believed == (verdict == "good"), why
    assert client.settled == len(answers), why
    tried += 1
print(tried, "receipts")

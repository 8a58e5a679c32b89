"""Text: a line, and the answer that it is stored. `send.py HOST PORT TEXT`; exit 0 only with a receipt."""

import socket
import sys

host, port, text = sys.argv[1:]
with socket.create_connection((host, int(port)), timeout=30) as connection:
    answers = connection.makefile("rb")
    assert answers.read(18) == b"You are connected!"
    connection.sendall(text.replace("\n", " ").encode() + b"\n")
    answer = answers.readline().decode()  # `10-4 inbox 4127`, or `no CODE reason`
print(answer.strip())
sys.exit(0 if answer.startswith("10-4 ") else 1)

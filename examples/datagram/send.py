"""Datagram: repeated until there is a receipt, stored once. `send.py HOST PORT TEXT`; docs/protocol.md, section 17."""

import os
import socket
import struct
import sys

MAGIC = b"10-4\x00\xff"

host, port, text = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
stream, sequence, mailbox = os.urandom(16), 1, b"inbox"
padding = bytes(max(0, 9 - len(text)))  # a receipt is never longer than its request
head = struct.pack(">6sBB16sQBBH", MAGIC, 1, 0, stream, sequence, len(mailbox), 0, len(padding))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.connect((host, port))
    for pause in (0.2, 0.4, 0.8, 1.6, 3.2, 5, 5):
        sock.send(head + mailbox + padding + text)
        sock.settimeout(pause)
        try:
            answer = sock.recv(512)
        except (TimeoutError, ConnectionRefusedError):
            continue
        magic, version, kind, to, number, verdict, _, code = struct.unpack(">6sBB16sQBBH", answer[:36])
        if (magic, version, kind, to, number) == (MAGIC, 1, 1, stream, sequence):
            if verdict == 2:
                sys.exit(f"refused: code {code}")
            offset, length = struct.unpack(">QB", answer[36:45])
            print("10-4", answer[45 : 45 + length].decode(), offset)
            sys.exit(0)
sys.exit(75)  # perhaps stored

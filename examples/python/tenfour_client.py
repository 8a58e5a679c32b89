#!/usr/bin/env python3
"""Sends messages to a tenfour server and waits for the receipts: one file, standard library only.

It speaks the native protocol as `docs/protocol.md` describes it; the sections named below are of that page.
It only sends. When the connection breaks it connects again and resumes, until the time is over.

    python3 tenfour_client.py --identity IDENTITY.pem --pin SHA256:... HOST PORT TEXT...

For each receipt it prints `MAILBOX OFFSET`, and `duplicate` behind it if the message had been stored before.
What is refused or has no answer goes to stderr. Exit codes; of many messages the first that applies:

    74  the server went back: it lacks messages that it gave receipts for
    75  unknown: sent, no receipt, perhaps stored (repeat it with the same --id)
    77  not allowed: not stored            65  refused for another reason: not stored
    76  the server showed another key      69  never reached, or it takes nothing now: not stored
     2  wrong usage                         0  every message has its receipt
"""

import argparse
import base64
import collections
import hashlib
import os
import re
import secrets
import select
import socket
import ssl
import struct
import sys
import time

HELLO, WELCOME, ERROR, PING, PONG, GOAWAY, CLOSE = range(0x01, 0x08)
MESSAGE, PART, RECEIPT, CREDIT, PAUSE, RESUME = range(0x10, 0x16)
KNOWN = {*range(0x01, 0x08), *range(0x10, 0x16), *range(0x20, 0x24)}
WITHHELD = 0x01                     # flag of MESSAGE: the body stays here
CRITICAL = 0x80                     # whoever does not know this type of frame, or this field, must give up
MAX_BODY = 65_536                   # of a frame
DURABILITIES = ["memory", "os", "disk"]
REFUSALS = dict(enumerate(
    "too-large bad-mailbox not-allowed conflict refused-earlier too-many-mailboxes bad-message".split(), 1))
NEVER = float("inf")
NOT_NOW = {1: "full", 2: "busy", 3: "stopping", 4: "displaced"}

Message = collections.namedtuple("Message", "mailbox body")
Receipt = collections.namedtuple("Receipt", "sequence mailbox offset durability duplicate")
Refusal = collections.namedtuple("Refusal", "sequence code word")


class Cut(Exception):
    """The connection is gone; another one may help."""


class Failure(Exception):
    """No connection will help, or the time is over. `status` is an exit code of the command line."""

    def __init__(self, text, status=69):
        super().__init__(text)
        self.status = status


class Fault(Failure):
    """The server broke a rule of the protocol."""


def element(der, at):
    """Where the content of the DER element at `at` begins and ends."""
    length, body = der[at + 1], at + 2
    if length >= 0x80:
        more = length & 0x7F
        length, body = int.from_bytes(der[body:body + more], "big"), body + more
    return body, body + length


def pin_of_certificate(der):
    """The pin `SHA256:...` of a certificate: the hash of its SubjectPublicKeyInfo (section 2)."""
    at = element(der, element(der, 0)[0])[0]
    for _ in range(6):              # version, serial number, algorithm, issuer, validity, subject
        at = element(der, at)[1]
    pin = hashlib.sha256(der[at:element(der, at)[1]]).digest()
    return "SHA256:" + base64.b64encode(pin).decode().rstrip("=")


def field(tag, value):
    return struct.pack("!BH", tag, len(value)) + value


def fields(body, sizes):
    """The fields of a frame, by tag. `sizes` has the tags that are known here, and how long each is at least."""
    found = {}
    while body:
        tag, length = numbers("!BH", body)
        value, body = body[3:3 + length], body[3 + length:]
        if len(value) < max(length, sizes.get(tag, 0)):
            raise Fault("a field is too short")
        if tag not in sizes and tag & CRITICAL:
            raise Fault("a critical field is not known here")
        found[tag] = value
    return found


def numbers(layout, body, at=0):
    """The numbers that stand at `at`. What comes behind them is for others, or for later versions."""
    if len(body) < at + struct.calcsize(layout):
        raise Fault("a frame is shorter than its contents")
    return struct.unpack_from(layout, body, at)


def is_text_listener(host, port):
    """Whether that is the listener for lines, which greets at once and speaks no TLS."""
    try:
        with socket.create_connection((host, port), timeout=1) as plain:
            return plain.recv(18) == b"You are connected!"
    except OSError:
        return False


class Link:
    """One TLS connection. Frames go in and come out."""

    def __init__(self, host, port, context, until):
        self.unsent = bytearray()
        self.received = bytearray()
        self.ended = None           # why nothing more will come
        try:
            plain = socket.create_connection((host, port), timeout=max(0.01, until - time.monotonic()))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.tls = context.wrap_socket(plain)
        except OSError as error:
            if isinstance(error, ssl.SSLError) and is_text_listener(host, port):
                raise Failure("that is the text listener; use tcp://") from error
            raise Cut("no connection: {}".format(error)) from error
        self.tls.setblocking(False)
        self.heard = time.monotonic()

    def check(self, pins):
        """Nothing may be said before this."""
        if self.tls.selected_alpn_protocol() != "tenfour/1":
            raise Failure("that server does not speak tenfour/1")
        shown = pin_of_certificate(self.tls.getpeercert(binary_form=True))
        if shown not in pins:
            raise Failure("the server's key is not the one expected; it showed " + shown, 76)

    def say(self, kind, body=b"", flags=0):
        """Puts a frame on its way."""
        self.unsent += struct.pack("!IBBxx", len(body), kind, flags) + body
        self._push()

    def _push(self):
        try:
            while self.unsent:
                del self.unsent[:self.tls.send(self.unsent)]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass                    # the same bytes are tried again
        except OSError:
            self.unsent.clear()     # what the server still said is read all the same

    def hear(self, until):
        """The frames that are here, as (type, flags, body). Waits for some until `until`, or for room to send."""
        if self.ended:
            raise Cut(self.ended)
        wait = max(0.0, until - time.monotonic())
        if select.select([self.tls], [self.tls] if self.unsent else [], [], wait)[1]:
            self._push()
        try:
            while self.ended is None:
                data = self.tls.recv(65_536)
                self.received += data
                self.heard = time.monotonic()
                self.ended = None if data else "the server ended the connection without CLOSE"
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self.ended = "the connection broke: {}".format(error)
        frames = []
        while len(self.received) >= 8:
            length, kind, flags = struct.unpack_from("!IBB", self.received)
            if length > MAX_BODY:
                raise Fault("a frame is longer than allowed")
            if len(self.received) < 8 + length:
                break
            frames.append((kind, flags, bytes(self.received[8:8 + length])))
            del self.received[:8 + length]
        return frames


class Client:
    """A stream of messages, which outlives its connections. Use it like this:

        client = Client("host", 50545, "identity.pem", pin="SHA256:...")
        client.send(b"hello", mailbox="inbox")
        answers = list(client.deliver(timeout=30))

    With a `key` the same messages under the same key are stored once, whichever process repeats them.
    A server that shows the client's own key is trusted; any other must show the key of `pin`.
    """

    def __init__(self, host, port, identity, pin=None, key=None, durability="disk"):
        if pin is not None and not re.fullmatch("SHA256:[A-Za-z0-9+/]{43}", pin):
            raise ValueError("a pin is `SHA256:` and 43 characters of base64")
        self.host, self.port = host, port
        self.pins = {self.own_pin(identity), pin}
        # Names, dates and authorities mean nothing here: the pin does, and Link checks it.
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.set_alpn_protocols(["tenfour/1"])
        self.context.load_cert_chain(identity)
        self.durability = DURABILITIES.index(durability)
        # A random stream of our own is continued. One with a key from outside must be repeated (section 7).
        self.repeats = key is not None
        self.stream = secrets.token_bytes(16)
        if key is not None:
            self.stream = hashlib.sha256(b"tenfour id\0" + key.encode()).digest()[:16]
        self.process = secrets.token_bytes(16)
        self.attempt = 0
        self.store = None           # id of the first server's store
        self.waiting = collections.deque()      # messages without an answer, from `settled` + 1 on
        self.settled = 0            # all up to here have their answers
        self.receipted = 0          # the last one with a receipt
        self.exposed = 0            # all up to here may have reached a server
        self.mark = 0               # the highest mark that a server named
        self.rest_until = 0.0       # the server asked for silence

    @classmethod
    def own_pin(cls, identity):
        """The pin of the certificate in an identity file."""
        with open(identity, encoding="ascii") as file:
            pem = re.search("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", file.read(), re.DOTALL)
        if not pem:
            raise ValueError("there is no certificate in {}".format(identity))
        return pin_of_certificate(ssl.PEM_cert_to_DER_cert(pem.group()))

    def send(self, body, mailbox="inbox"):
        """Takes a message for sending; `deliver` does the work. Gives its sequence."""
        if len(mailbox.encode()) > 128 or len(body) >= 1 << 32:
            raise ValueError("a mailbox's name has at most 128 bytes, and a message less than 4 GiB")
        self.waiting.append(Message(mailbox.encode(), bytes(body)))
        return self.settled + len(self.waiting)

    def unsettled(self):
        """The messages without an answer: (sequence, whether it is perhaps stored) of each (section 9)."""
        end = self.settled + 1 + len(self.waiting)
        return [(sequence, sequence <= max(self.exposed, self.mark)) for sequence in range(self.settled + 1, end)]

    def deliver(self, timeout=30.0):
        """Yields a Receipt or a Refusal for each message, in order. Raises Failure if some get neither."""
        deadline, pause = time.monotonic() + timeout, 0.05
        while self.waiting:
            self.phase, self.reason = "greeting", "the server gave no answer"
            try:
                link = Link(self.host, self.port, self.context, min(deadline, time.monotonic() + 10))
                try:
                    link.check(self.pins)
                    yield from self._converse(link, deadline)
                except Fault as fault:
                    link.say(ERROR, field(0x01, b"\0\1") + field(0x02, str(fault).encode()))
                    raise
                finally:
                    link.tls.close()
            except Cut as cut:
                self.reason = str(cut)
            pause = min(2.0, pause * 2) if self.phase == "greeting" else 0.05
            until = max(self.rest_until, time.monotonic() + pause)
            if self.waiting and until >= deadline:
                raise Failure("no receipt in time: " + self.reason)
            if self.waiting:
                time.sleep(max(0.0, until - time.monotonic()))

    def _converse(self, link, deadline):
        """One connection, from HELLO to CLOSE."""
        self.attempt += 1
        self.heartbeat, self.next_ping = 15.0, NEVER
        stream = struct.pack("!16sQQBB", self.stream, self.receipted, self.settled, 1 if self.repeats else 0, 0)
        link.say(HELLO, field(0x81, struct.pack("!HH", 1, 1)) + field(0x02, b"tenfour_client.py/1")
                 + field(0x83, self.process) + field(0x84, struct.pack("!Q", self.attempt))
                 + field(0x85, bytes([self.durability])) + field(0x06, bytes(8)) + field(0x87, stream))
        while self.phase != "ended":
            now = time.monotonic()
            dead_at = link.heard + 2 * self.heartbeat
            resume_at = self.rest_until if self.phase == "paused" else NEVER
            if not self.waiting:    # only the server's goodbye is missing
                deadline = min(deadline, now + 2.0)
            if now >= deadline:
                raise Cut(self.reason)
            if now >= dead_at:
                raise Cut("nothing was heard for two heartbeats")
            if now >= self.next_ping:
                link.say(PING, bytes(8))
                self.next_ping = now + self.heartbeat
            if now >= resume_at:
                link.say(RESUME, struct.pack("!Q", self.settled + 1))
                self.phase, resume_at = "open", NEVER
            if self.phase == "open":
                self._fill(link)
            for kind, flags, body in link.hear(min(deadline, dead_at, self.next_ping, resume_at)):
                if self.phase != "ended":
                    yield from self._take(link, kind, flags, body)

    def _fill(self, link):
        """Sends as much as credit and the socket allow, then CLOSE (section 5)."""
        last = self.settled + len(self.waiting)
        while not link.unsent and self.transmitted < last:
            in_flight = self.transmitted - self.settled
            message = self.waiting[in_flight]
            length = len(message.body)
            if self.progress:       # the next message has begun
                sent = min(length, self.progress + MAX_BODY)
                link.say(PART, message.body[self.progress:sent])
            else:
                if in_flight >= self.credit[0] or (in_flight and self.bytes_in_flight + length > self.credit[1]):
                    return
                withheld = length > self.max_message
                sent = length if withheld else min(length, MAX_BODY - 16 - len(message.mailbox))
                self.exposed = max(self.exposed, self.transmitted + 1)
                head = struct.pack("!QIBxH", self.transmitted + 1, length, len(message.mailbox), 0)
                body = b"" if withheld else message.body[:sent]
                link.say(MESSAGE, head + message.mailbox + body, WITHHELD if withheld else 0)
            self.progress = sent if sent < length else 0
            if not self.progress:
                self.transmitted += 1
                self.acceptable = max(self.acceptable, self.transmitted)
                self.bytes_in_flight += length
        if self.transmitted == last:
            link.say(CLOSE)
            self.phase = "closing"

    def _take(self, link, kind, flags, body):
        """Acts on one frame. Yields answers."""
        if kind == ERROR:
            self._take_error(body)
        elif kind == GOAWAY and self.phase == "greeting":
            raise Cut("the server takes nobody now")
        elif kind == WELCOME and self.phase == "greeting":
            self._take_welcome(body)
        elif kind not in KNOWN:
            if flags & CRITICAL:
                raise Fault("a critical frame is not known here")
        elif kind not in (GOAWAY, PING, PONG, CLOSE, RECEIPT, CREDIT, PAUSE) or self.phase == "greeting":
            raise Fault("a frame of type {:#04x} does not belong here".format(kind))
        elif kind == GOAWAY:
            self.phase, self.reason = "leaving", "the server is stopping"
        elif kind == PING:
            link.say(PONG, struct.pack("!8s", *numbers("!8s", body)))
        elif kind == RECEIPT:
            yield from self._take_receipt(body)
        elif kind == CREDIT:
            messages, size = numbers("!II", body)
            self.credit = max(1, messages), size
        elif kind == PAUSE:
            code, wait, settled = numbers("!HIQ", body)
            if settled != self.settled:
                raise Fault("a pause does not fit the receipts before it")
            self._nothing_more_is_stored()
            self.reason = "the server takes nothing now: " + NOT_NOW.get(code, "for another reason")
            self.rest_until = time.monotonic() + wait / 1000
            if self.phase == "open":        # else the server's CLOSE follows, and the rest goes on the next connection
                self.phase = "paused"
        elif kind == CLOSE:
            self._nothing_more_is_stored()
            self.phase = "ended"

    def _take_error(self, body):
        found = fields(body, {0x01: 2, 0x02: 0, 0x03: 0, 0x04: 24})
        code = numbers("!H", found.get(0x01, b"\0\0"))[0]
        text = "the server says: " + found.get(0x02, b"").decode(errors="replace")
        if found.get(0x03):
            text += " (reference {})".format(found[0x03].decode(errors="replace"))
        if code in (8, 10):         # timed-out, internal
            raise Cut(text)
        if code == 6 and 0x04 in found:
            self._check_store(found[0x04][8:24])
        if code == 7:               # taken-over: the other one may send what we never did
            self.exposed = self.settled + len(self.waiting)
        # not-allowed, durability, went-back, taken-over, invitation
        raise Failure(text, {3: 77, 4: 65, 6: 74, 7: 75, 9: 77}.get(code, 69))

    def _check_store(self, store):
        self.store = self.store or store
        if store != self.store:
            raise Failure("the address leads to another server now: its store is {}, the first one was {}".format(
                store.hex(), self.store.hex()), 75)

    def _take_welcome(self, body):
        """The checks of section 4, in their order; then where to go on (section 7)."""
        found = fields(body, {
            0x81: 2, 0x02: 0, 0x83: 16, 0x84: 4, 0x85: 8, 0x06: 4, 0x87: 1, 0x88: 8, 0x09: 8, 0x0A: 0})
        if not {0x81, 0x83, 0x84, 0x85, 0x88} <= found.keys():
            raise Fault("WELCOME lacks a field")
        if numbers("!H", found[0x81])[0] != 1 or not self._is_durable(found.get(0x87, b"\0")[0]):
            raise Fault("WELCOME has a version or a durability that was not asked for")
        self._check_store(found[0x83][:16])
        mark = numbers("!Q", found[0x88])[0]
        if mark < self.receipted:
            raise Failure("the server went back: it has this stream up to {}, but gave receipts up to {}".format(
                mark, self.receipted), 74)
        if not self.repeats and mark > max(self.settled, self.exposed):
            raise Fault("it has messages of this stream that were never sent")
        self.credit = numbers("!II", found[0x85])
        self.max_message = numbers("!I", found[0x84])[0]
        self.heartbeat = numbers("!I", found.get(0x06, struct.pack("!I", 15_000)))[0] / 1000
        if 0 in (self.credit[0], self.max_message, self.heartbeat):
            raise Fault("WELCOME has a zero where none may be")
        self.mark = max(self.mark, mark)
        self._restart_behind(self.settled if self.repeats else max(self.settled, mark))
        self.phase, self.next_ping = "open", time.monotonic() + self.heartbeat

    def _is_durable(self, durability):
        return self.durability <= durability < len(DURABILITIES)

    def _restart_behind(self, last):
        self.transmitted = last     # gone whole on this connection, or in no need of it
        self.acceptable = last      # a receipt above this is a lie
        self.progress = 0           # bytes of the next message that have gone
        self.bytes_in_flight = sum(len(self.waiting[i].body) for i in range(last - self.settled))

    def _nothing_more_is_stored(self):
        """The server said: what has no answer now is not stored, and will not be."""
        self.exposed = self.settled
        self._restart_behind(self.settled)

    def _take_receipt(self, body):
        """The checks of section 6, before anything is believed. Settled is never success: only a run is."""
        settled, durability = numbers("!QB", body)
        if settled > self.acceptable or not self._is_durable(durability):
            raise Fault("a receipt for something never sent, or less durable than demanded")
        entries, at, expected = [], 9, self.settled + 1
        while at < len(body):
            kind, first, count = numbers("!BQQ", body, at)
            if kind in (0, 1):
                value, length = numbers("!QB", body, at + 17)
                mailbox = numbers("!{}s".format(length), body, at + 26)[0]
                at += 26 + length
            elif kind == 2:
                value, mailbox = numbers("!H", body, at + 17)[0], None
                at += 19
            else:
                raise Fault("a receipt has an entry that is not known here")
            if first != expected or count == 0 or max(first, value) + count >= 1 << 64:
                raise Fault("a receipt leaves out a message, names one twice, or is impossible")
            expected = first + count
            entries.append((kind, first, count, value, mailbox))
        if expected != settled + 1:
            raise Fault("a receipt settles other messages than it names")
        for _, first, count, _, mailbox in entries:
            own = (self.waiting[sequence - self.settled - 1].mailbox for sequence in range(first, first + count))
            if mailbox is not None and any(name != mailbox for name in own):
                raise Fault("a receipt names another mailbox than the message")
        for kind, first, count, value, mailbox in entries:
            for i in range(count):
                self.bytes_in_flight -= len(self.waiting.popleft().body)
                self.settled = first + i
                if mailbox is None:
                    yield Refusal(first + i, value, REFUSALS.get(value, "refused"))
                else:
                    self.receipted = first + i
                    yield Receipt(first + i, mailbox.decode(), value + i, DURABILITIES[durability], kind == 1)


def main():
    parser = argparse.ArgumentParser(description="Send messages to a tenfour server and wait for the receipts.")
    parser.add_argument("--identity", required=True, metavar="FILE", help="PEM: your private key and its certificate")
    parser.add_argument("--pin", metavar="SHA256:...", help="the server's key; not needed where it is your own")
    parser.add_argument("--mailbox", default="inbox", help="where the messages go [inbox]")
    parser.add_argument("--id", metavar="KEY", help="the same messages under the same id are stored once")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="seconds for everything [30]")
    parser.add_argument("--durability", default="disk", choices=DURABILITIES, help="the least that counts [disk]")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("text", nargs="+")
    options = parser.parse_args()
    try:
        client = Client(options.host, options.port, options.identity, options.pin, options.id, options.durability)
        for text in options.text:
            client.send(os.fsencode(text), options.mailbox)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    codes = set()
    try:
        for answer in client.deliver(options.timeout):
            if isinstance(answer, Receipt):
                print(answer.mailbox, answer.offset, *(["duplicate"] if answer.duplicate else []), flush=True)
            else:
                print("message {}: refused: {}".format(answer.sequence, answer.word), file=sys.stderr)
                codes.add(77 if answer.word == "not-allowed" else 65)
    except Failure as failure:
        print("the server broke the protocol:" if isinstance(failure, Fault) else "failed:", failure, file=sys.stderr)
        for sequence, perhaps in client.unsettled():
            print("message {}:".format(sequence), "perhaps stored" if perhaps else "not stored", file=sys.stderr)
            codes.add(75 if perhaps and failure.status != 74 else failure.status)
    return next((code for code in (74, 75, 77, 65, 76, 69) if code in codes), 0)


if __name__ == "__main__":
    sys.exit(main())

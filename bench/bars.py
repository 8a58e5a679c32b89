"""The bars: what tenfour has to reach. Each is a ratio to a peer of the same run, or a figure of tenfour's own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    least: float | None = None  # rates: tenfour / peer must be at least this
    most: float | None = None  # times and sizes: tenfour / peer must be at most this
    bytes: int | None = None  # sizes without a peer to divide by: tenfour's own figure must be at most this

    rate: int | None = None  # rates without a peer that promises the same: tenfour's own figure must be at least this

    @property
    def stands_alone(self):
        return self.bytes is not None or self.rate is not None

    def met(self, median, ratio):
        if self.rate is not None:
            return median >= self.rate
        if self.bytes is not None:
            return median <= self.bytes
        return ratio >= self.least if self.least is not None else ratio <= self.most

    def __str__(self):
        if self.rate is not None:
            return f"at least {self.rate:,}/s"
        if self.bytes is not None:
            return f"at most {self.bytes / 1024:g} KiB"
        return f"at least {self.least:g}x" if self.least is not None else f"at most {self.most:g}x"


BARS = {
    "durable-1": Bar(least=2.5),
    "durable-8": Bar(least=2.0),
    "durable-8-mailboxes": Bar(least=1.5),
    "durable-1-1k": Bar(least=2.0),
    "durable-8-1k": Bar(least=1.5),
    "memory-1": Bar(least=2.0),
    "shared-1": Bar(least=3.0),
    "shared-1-1k": Bar(least=1.0),
    "shared-1000": Bar(least=1.0),
    "shared-disk": Bar(least=0.8),
    "one-at-a-time": Bar(least=0.6),
    "send": Bar(most=1.3),
    "recipe": Bar(least=2.0),
    "datagrams": Bar(least=0.3),
    "http-post": Bar(rate=25_000),
    "events": Bar(most=1.2),
    "ask": Bar(most=1.0),
    "idle-text": Bar(bytes=2 * 1024),
    "idle-native": Bar(bytes=14 * 1024),
}

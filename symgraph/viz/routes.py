"""Curves from column to column, drawn when everything else has its place.

Columns are laid out without them, so that each is as calm as its own graph. The rows of nodes are at the same heights in all
columns, which leaves a free strip between any two rows. A curve goes straight to where it leads if nothing is in its way,
else along the strip above or below a row, and from strip to strip in the gap between two columns.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from .picture import Edge

Point = tuple[float, float]
Curve = tuple[Point, ...]
"""Cubic curves: a first point, then three for each of them."""

ARROW = 6.0
"""The length of the head of an arrow."""

CLEAR = 3.0
"""A curve stays so far from nodes that it passes by."""

BEND = 16.0
STRIP = 12.0
"""Half the height of the strips above the first row and below the last."""

SAMPLES = 12
HIT = 2000.0
"""What a node in the way costs, in points of length."""


@dataclass(frozen=True)
class Box:
    """A rectangle by its middle and its size."""

    x: float
    y: float
    width: float
    height: float


class Routes:
    """The rows and columns of a layout, and the ways through it."""

    def __init__(self, boxes: Mapping[str, Box], column: Mapping[str, int]) -> None:
        self.boxes = boxes
        self.column = column
        rows: dict[int, list[Box]] = {}
        for box in sorted(boxes.values(), key=lambda b: b.y):
            rows.setdefault(round(box.y), []).append(box)
        self.rows = [sorted(row, key=lambda b: b.x) for row in rows.values()]
        low = [min(b.y - b.height / 2 for b in row) for row in self.rows]
        high = [max(b.y + b.height / 2 for b in row) for row in self.rows]
        self.strips = [low[0] - STRIP, *[(a + b) / 2 for a, b in zip(high, low[1:])], high[-1] + STRIP]
        self.slack = [STRIP, *[max(0.0, b - a) / 2 for a, b in zip(high, low[1:])], STRIP]
        self.row_of = {round(row[0].y): i for i, row in enumerate(self.rows)}
        edges: dict[int, tuple[float, float]] = {}
        for key, box in boxes.items():
            left, right = edges.get(column[key], (box.x, box.x))
            edges[column[key]] = min(left, box.x - box.width / 2), max(right, box.x + box.width / 2)
        order = sorted(edges)
        self.gaps = {a: (edges[a][1], edges[b][0]) for a, b in pairwise(order)}
        """Right of each column but the last: where it ends, and where the next begins."""
        self.before = {b: a for a, b in pairwise(order)}

    def of(self, edges: Iterable[Edge], short: bool = False) -> dict[Edge, Curve]:
        """A curve for each edge from a column to one on its right; the `short` way whatever is in it.

        An arrow has room at the end of its curve.
        """
        found: dict[Edge, Curve] = {}
        twins: dict[tuple[str, str], int] = {}
        for edge in edges:
            nth = twins[edge.tail, edge.head] = twins.get((edge.tail, edge.head), -1) + 1
            found[edge] = self._best(edge, 4.0 * nth, short)
        return found

    def _best(self, edge: Edge, aside: float, short: bool) -> Curve:
        tail, head = self.boxes[edge.tail], self.boxes[edge.head]
        room = ARROW if edge.kind == "value" else 0.0
        start = tail.x + tail.width / 2, tail.y + aside
        end = head.x - head.width / 2 - room, head.y + aside
        reach = max(BEND, min(abs(end[0] - start[0]) / 2, 90.0))
        ways = [_bent(start, end, reach), _bent(start, end, BEND)]
        if short or self.column[edge.tail] >= self.column[edge.head]:
            return ways[1]
        best, least = ways[0], float("inf")
        for way in ways:
            cost = HIT * self._hits(way, tail, head) + end[0] - start[0]
            if cost < least:
                best, least = way, cost
        if least < HIT:
            return best
        for way, cost in self._detours(edge, tail, head, room, aside):
            if cost < least:
                best, least = way, cost
        return best

    def _detours(self, edge: Edge, tail: Box, head: Box, room: float, aside: float) -> Iterable[tuple[Curve, float]]:
        """The ways along strips, each with what it costs."""
        gaps = [self.gaps[self.column[edge.tail]], self.gaps[self.before[self.column[edge.head]]]]
        i, j = self.row_of[round(tail.y)], self.row_of[round(head.y)]
        for leaving, arriving, (left, right) in product((None, i, i + 1), (None, j, j + 1), dict.fromkeys(gaps)):
            if leaving is None and arriving is None:
                continue
            y1 = tail.y + aside if leaving is None else self._height(leaving, tail)
            y2 = head.y + aside if arriving is None else self._height(arriving, tail)
            x1, x2 = tail.x + tail.width / 2, head.x - head.width / 2
            a, b = left, max(right, left + 2 * BEND)
            out = self._out(tail, y1) if leaving is not None else ((x1, y1),)
            into = self._into(head, y2, room) if arriving is not None else ((x2 - room, y2),)
            if leaving is not None and leaving == arriving:
                way = _joined(out, _straight(out[-1], into[0]), into)
                free = [out, into]
            else:
                a, b = max(a, out[-1][0]), min(b, into[0][0])
                turn = _bent((a, y1), (b, y2), (b - a) / 2)
                first, last = _straight(out[-1], turn[0]), _straight(turn[-1], into[0])
                way = _joined(out, first, turn, last, into)
                free = [out, into, turn, *([first] if leaving is None else []), *([last] if arriving is None else [])]
            cost = sum(HIT * self._hits(part, tail, head) for part in free if len(part) > 1)
            yield way, cost + abs(y1 - tail.y) + abs(y2 - y1) + abs(head.y - y2)

    def _height(self, strip: int, tail: Box) -> float:
        """Where in a strip the curves of a tail run: each a little apart from those of other tails."""
        return self.strips[strip] + (round(tail.x + tail.y) % 5 - 2) / 2 * min(4.0, self.slack[strip] / 3)

    def _out(self, box: Box, y: float) -> Curve:
        """From the upper or lower side of a box into the strip at `y`."""
        up = 1 if y > box.y else -1
        x, side = box.x + box.width / 4, box.x + box.width / 2 + BEND / 2
        return (x, box.y + up * box.height / 4), (x, y), (x + BEND / 2, y), (side, y)

    def _into(self, box: Box, y: float, room: float) -> Curve:
        """From the strip at `y` to the upper or lower side of a box."""
        up = 1 if y > box.y else -1
        x, side = box.x - box.width / 5, box.x - box.width / 2 - BEND / 2
        return (side, y), (x - BEND / 2, y), (x, y), (x, box.y + up * (box.height / 2 + min(room, ARROW)))

    def _hits(self, curve: Curve, tail: Box, head: Box) -> int:
        """How many nodes are in the way of a curve."""
        found = set()
        for x, y in _sampled(curve):
            for box in self._near(x, y):
                if box is not tail and box is not head:
                    found.add(box)
        return len(found)

    def _near(self, x: float, y: float) -> Iterable[Box]:
        at = bisect_left(self.strips, y)
        if not 0 < at < len(self.strips):
            return
        row = self.rows[at - 1]
        k = bisect_left(row, x, key=lambda b: b.x)
        for box in row[max(0, k - 1) : k + 1]:
            if abs(x - box.x) < box.width / 2 + CLEAR and abs(y - box.y) < box.height / 2 + CLEAR:
                yield box


def _bent(start: Point, end: Point, reach: float) -> Curve:
    """An S that leaves and arrives horizontally."""
    return start, (start[0] + reach, start[1]), (end[0] - reach, end[1]), end


def _straight(start: Point, end: Point) -> Curve:
    (x1, y1), (x2, y2) = start, end
    return start, (x1 + (x2 - x1) / 3, y1 + (y2 - y1) / 3), (x2 - (x2 - x1) / 3, y2 - (y2 - y1) / 3), end


def _joined(*curves: Curve) -> Curve:
    """One after another, without those that lead nowhere: an arrow has the direction of the last."""
    way = curves[0]
    for curve in curves[1:]:
        if curve[0] != curve[-1]:
            way += curve[1:]
    return way


def _sampled(curve: Sequence[Point]) -> Iterable[Point]:
    """Points on the curves, near enough to each other to meet every node in the way."""
    for i in range(0, len(curve) - 1, 3):
        a, b, c, d = curve[i : i + 4]
        count = max(SAMPLES, int(abs(d[0] - a[0]) / SAMPLES))
        for k in range(1, count):
            t = k / count
            u = 1 - t
            p, q, r, s = u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t
            yield p * a[0] + q * b[0] + r * c[0] + s * d[0], p * a[1] + q * b[1] + r * c[1] + s * d[1]

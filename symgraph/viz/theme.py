"""Colours of pictures: light, dark, and for print.

Kinds of node differ in shape and in what is written in them; colours only repeat it. The theme for print has none.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """The colours of everything that is drawn."""

    page: str
    ink: str
    line: str
    """Edges inside a column."""
    soft: str
    """Edges from column to column."""
    link: str
    """Links from nodes to their adjoints."""
    frame: str
    """The borders of columns and parts."""
    columns: tuple[str, str]
    """Behind even and odd orders of derivative."""
    part: str
    """Behind a part of the model."""
    kinds: dict[str, tuple[str, str]]
    """Fill and border of each kind of node."""


THEMES = {
    "light": Theme(
        page="white", ink="#2b3442", line="#5d6875", soft="#9aa5b1", link="#c2762b", frame="#e3e7ec",
        columns=("#f8fafc", "#fffaf4"), part="#eef2f7",
        kinds={
            "input": ("#dcebfa", "#4a7fb5"), "parameter": ("#dff1e2", "#4f9460"), "constant": ("#f1f2f4", "#8a939e"),
            "op": ("#ffffff", "#7d8896"), "output": ("#ffffff", "#2b3442"), "adjoint": ("#fdf0e0", "#c2762b"),
            "gradient": ("#fbdfbd", "#b5651d"), "update": ("#e4f3e6", "#4f9460"), "group": ("#e9e6f5", "#6f62a8"),
            "more": ("#ffffff", "#9aa5b1"),
        },
    ),
    "dark": Theme(
        page="#14181e", ink="#e4e9ef", line="#8d99a8", soft="#667281", link="#e09a52", frame="#2f3843",
        columns=("#191f27", "#211d19"), part="#222a34",
        kinds={
            "input": ("#1c3550", "#6ea6dd"), "parameter": ("#1d3a25", "#6fbb82"), "constant": ("#2a3038", "#8a939e"),
            "op": ("#20262e", "#8d99a8"), "output": ("#20262e", "#e4e9ef"), "adjoint": ("#3d2c18", "#e09a52"),
            "gradient": ("#573a17", "#f0ad62"), "update": ("#1f3a26", "#6fbb82"), "group": ("#2c2745", "#a398dc"),
            "more": ("#14181e", "#667281"),
        },
    ),
    "print": Theme(
        page="white", ink="black", line="black", soft="#555555", link="black", frame="black",
        columns=("white", "white"), part="white",
        kinds=dict.fromkeys(
            ("input", "parameter", "constant", "op", "output", "adjoint", "gradient", "update", "group", "more"),
            ("white", "black"),
        ),
    ),
}  # fmt: skip
"""By name."""


def theme_of(name: str) -> Theme:
    """The theme with this name.

    Raises `ValueError`.
    """
    if name not in THEMES:
        raise ValueError(f"theme={name!r} is none of {', '.join(map(repr, THEMES))}")
    return THEMES[name]

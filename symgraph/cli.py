"""The command `symgraph`.

    symgraph demo [--out DIR] [--model mlp|logistic] [--epochs N] [--seed N]

Exit status: 0; 2 with one line on the error output for what cannot be done as asked; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

MOST_EPOCHS = 100_000


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = arguments()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        return demo(options)
    except KeyboardInterrupt:
        print("\nsymgraph demo: interrupted; no file was changed", file=sys.stderr)
        return 130
    except RuntimeError as error:
        print(f"symgraph demo: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def arguments() -> Parser:
    """The command line."""
    from . import __version__

    parser = Parser(
        prog="symgraph", description="Symbolic computational graphs, compiled with their derivatives to NumPy."
    )
    parser.add_argument("--version", action="version", version=f"symgraph {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    run = commands.add_parser(
        "demo",
        help="train a classifier of handwritten digits and show everything on the way",
        description="Build a model of real handwritten digits, differentiate, compile and train it; draw its graphs, and "
        "write the training step as a module that needs NumPy alone. All of it comes together in report.html.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    run.add_argument("--out", type=Path, default=Path("symgraph-demo"), metavar="DIR", help="where the files go")
    run.add_argument(
        "--model", choices=["mlp", "logistic"], default="mlp", help="64-128-10 network, or logistic regression"
    )
    run.add_argument("--epochs", type=epochs, default=120, metavar="N", help="how often each image is seen")
    run.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of the split, the initial parameters and the batches"
    )
    return parser


def demo(options: argparse.Namespace) -> int:
    """`symgraph demo`."""
    from .demo.run import Settings, run, summary

    result = run(Settings(options.out, options.model, options.epochs, options.seed))
    print(summary(result))
    return 0


def epochs(text: str) -> int:
    """A number of epochs."""
    return _whole(text, 1, MOST_EPOCHS)


def seed(text: str) -> int:
    """A seed for random numbers."""
    return _whole(text, 0, 2**63 - 1)


def _whole(text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
    return value


if __name__ == "__main__":
    sys.exit(main())

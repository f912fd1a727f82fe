"""The command `symgraph`.

    symgraph draw|view|source|explain FILE.py:NAME [options]
    symgraph demo [--out DIR] [--model mlp|logistic] [--epochs N] [--seed N]

The first four run the user's own file and show what NAME stands for in it. On the standard output there is the path of what
was written, the source or the report, and nothing else: what the user's file prints goes to the error output.

Exit status: 0; 1 for an error in the user's file, which is shown as Python shows it; 2 for what cannot be done as asked, with
one line on the error output; 130 after Ctrl-C; 141 where the reader of the output has gone. A file that exits by itself
(`SystemExit`) has the status that it asks for.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

MOST_EPOCHS = 100_000
CLOSED = 141  # as a shell reports a program that SIGPIPE has ended

TARGET = "FILE.py:NAME"
NAMED = """\
FILE.py is run as Python would run it, but for what stands under
`if __name__ == "__main__":`, and NAME is a variable of it that holds a tensor,
a list, tuple or dict of tensors, or a compiled function. A Python function
without arguments is called. Commas separate several names, dots lead to
attributes (net.loss), and package.module:NAME is a module that can be imported
from here. Without :NAME, what there is to choose from is listed.
"""
EXAMPLES = {
    "draw": """\
examples:
  symgraph draw model.py:loss               loss as it was written, in loss.svg
  symgraph draw model.py:loss,gradient -o step.pdf   the gradients beside it
  symgraph draw model.py:step --both        before and after rewriting
  symgraph draw model.py:loss --focus hidden --radius 3
  symgraph draw model.py:loss --depth 1 --collapse elementwise --theme dark
""",
    "view": """\
examples:
  symgraph view model.py:step --open        write step.html, and show it
  symgraph view model.py:loss --values sample.npz
        with values saved by numpy.savez("sample.npz", x=..., y=...)
  symgraph view model.py:loss --values sample.json
        the same for {"x": [1.0, 2.0], "y": 0.5}
""",
    "source": """\
examples:
  symgraph source model.py:step             the source of a compiled function
  symgraph source model.py:loss --style plain
        a tensor as a function of all its symbols
  symgraph source model.py:gradient --no-comments -o gradient.py
""",
    "explain": """\
examples:
  symgraph explain model.py:step            which rewrites were made, and where
  symgraph explain model.py:step --no-rewrites
  symgraph explain model.py:loss --node hidden
        one node: by the name given to it, or a variable of the file
""",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


class _Unwritten(Exception):
    """The standard output takes no more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    try:
        try:
            return _run(argv)
        finally:
            _write("")  # what is still held is written here, and not when Python ends
    except (BrokenPipeError, _Unwritten) as error:
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return CLOSED
        print(f"symgraph: cannot write the output: {error}", file=sys.stderr)
        return 2


def _write(text: str) -> None:
    """Put a text on the standard output, if there is one."""
    try:
        print(text, end="\n" if text and not text.endswith("\n") else "", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _Unwritten(error.strerror or error) from None


def _run(argv: Sequence[str] | None) -> int:
    parser = arguments()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    return _demo(options) if options.command == "demo" else _show(options)


def _demo(options: argparse.Namespace) -> int:
    try:
        return demo(options)
    except KeyboardInterrupt:
        print("\nsymgraph demo: interrupted; no file was changed", file=sys.stderr)
        return 130
    except RuntimeError as error:
        print(f"symgraph demo: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _show(options: argparse.Namespace) -> int:
    """The commands that run the user's file."""
    from .commands import work
    from .commands.running import Failed
    from .commands.target import Listing, Refused, one_line

    me = f"symgraph {options.command}"
    try:
        with contextlib.redirect_stdout(sys.stderr):
            text = work.perform(options, getattr(work, options.command))
        _write(text)
        return 0
    except Failed as failure:
        failure.show()
        return 1
    except Listing as listing:
        print(f"{me}: {listing}", file=sys.stderr)
        return 2
    except Refused as refusal:
        print(f"{me}: {one_line(str(refusal))}", file=sys.stderr)
        return 2
    except UnicodeEncodeError as error:
        print(f"{me}: the output cannot be written in {error.encoding}; set PYTHONUTF8=1", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{me}: interrupted", file=sys.stderr)
        return 130


# Arguments -----------------------------------------------------------------------------------------------------------


def arguments() -> Parser:
    """The command line."""
    from . import __version__

    parser = Parser(
        prog="symgraph", description="Symbolic computational graphs, compiled with their derivatives to NumPy."
    )
    parser.add_argument("--version", action="version", version=f"symgraph {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    _draw(_command(commands, "draw", "draw a graph: svg, png, pdf or dot", "Draw a graph into a file."))
    _view(_command(commands, "view", "write an HTML page about a graph", "Write one HTML page that needs no network: the "
          "graph, the generated source, which line computes which node, and the values step by step."))  # fmt: skip
    _source(_command(commands, "source", "print the generated NumPy source", "Print the generated NumPy source."))
    _explain(
        _command(commands, "explain", "tell what the compiler did, and why", "Tell what the compiler did, and why.")
    )
    _demo_arguments(commands)
    return parser


def _command(commands: argparse._SubParsersAction[Parser], name: str, short: str, long: str) -> Parser:
    """A command for a user's own file."""
    made = commands.add_parser(
        name,
        help=short,
        description=f"{textwrap.fill(long, 79)}\n\n{NAMED}",
        epilog=EXAMPLES[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("target", metavar=TARGET, help="a file, and what to take from it")
    return made


def _draw(command: Parser) -> None:
    command.add_argument("-o", "--output", metavar="FILE", help="a .svg, .png, .pdf or .dot file (NAME.svg)")
    stage = command.add_mutually_exclusive_group()
    stage.add_argument("--optimize", action="store_true", help="as rewriting leaves it")
    stage.add_argument("--both", action="store_true", help="as written and as rewriting leaves it, side by side")
    command.add_argument("--theme", choices=["light", "dark", "print"], help="colours (light), or none for print")
    command.add_argument("--no-legend", action="store_true", help="leave the legend out")
    _choices(command)


def _view(command: Parser) -> None:
    command.add_argument("-o", "--output", metavar="FILE", help="an .html file (NAME.html)")
    command.add_argument("--values", metavar="FILE", help="a sample for each symbol by name, in .npz or .json")
    command.add_argument("--open", action="store_true", help="show the page in the browser")
    _choices(command)


def _choices(command: Parser) -> None:
    """What is shown of a graph, and who lays it out."""
    command.add_argument("--by", choices=["scope", "name", "line"], help="what makes the boxes (scope)")
    command.add_argument("--depth", type=count, metavar="N", help="parts nested deeper are one node each")
    command.add_argument(
        "--focus", action="append", metavar="NAME", help="show only what is near this (may be repeated)"
    )
    command.add_argument("--radius", type=count, metavar="N", help="how many edges are near (2)")
    command.add_argument(
        "--collapse",
        action="append",
        metavar="WORD",
        help="put into one node: elementwise, repeats, constants, parts, the name of a part, or auto (may be repeated)",
    )
    command.add_argument("--engine", metavar="PROGRAM", help="the Graphviz program (dot)")
    command.add_argument("--timeout", type=seconds, metavar="SECONDS", help="how long it may take (60)")


def _source(command: Parser) -> None:
    command.add_argument("-o", "--output", metavar="FILE", help="write into a file")
    command.add_argument(
        "--style",
        choices=["plain", "fast"],
        help="plain expressions for reading, or planned memory and loops for speed (fast; a compiled function's own)",
    )
    command.add_argument("--no-comments", action="store_true", help="leave out the lines of your file")


def _explain(command: Parser) -> None:
    command.add_argument("--node", metavar="NAME", help="explain one node of the graph")
    command.add_argument("--no-rewrites", action="store_true", help="leave out the list of rewrites")


def _demo_arguments(commands: argparse._SubParsersAction[Parser]) -> None:
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


def count(text: str) -> int:
    """A number of steps or levels."""
    return _whole(text, 0, 2**31 - 1)


def seconds(text: str) -> float:
    """A time limit."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


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

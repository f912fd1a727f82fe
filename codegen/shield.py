"""Updates that an interrupt cannot split.

Python handles signals between the instructions of its main thread, so Ctrl-C may come between two updates. While a call
writes, its shield holds the interrupt back and delivers it when everything is written; before that, the interrupt comes
at once and nothing is written. The cost is that of setting a signal handler twice, about 1 us.

The text of this module, without this introduction, stands in each exported module that needs it.
"""

import _signal  # type: ignore[import-not-found]  # what is under `signal`, whose own functions take ten times as long


class Shield:
    """Holds SIGINT back in functions that write, from a line on: `starts()` has that line for the code of each."""

    previous, held = _signal.SIG_DFL, None

    def __init__(self, starts):
        self.starts = starts

    def __enter__(self):
        self.previous = _signal.getsignal(_signal.SIGINT)
        try:
            if callable(self.previous):  # else nothing is raised
                _signal.signal(_signal.SIGINT, self.handle)
        except ValueError:  # this is not the main thread, which alone is interrupted
            self.previous = _signal.SIG_DFL

    def handle(self, number, frame):
        """Note the interrupt if the interrupted function has begun to write, else let it through."""
        at, starts = frame, self.starts()
        while at is not None:
            if at.f_code in starts and (at.f_lineno or 0) >= starts[at.f_code]:
                self.held = number, frame
                return
            at = at.f_back
        _signal.signal(_signal.SIGINT, self.previous)
        self.previous(number, frame)
        _signal.signal(_signal.SIGINT, self.handle)  # it raised nothing: the call goes on

    def __exit__(self, *error):
        if callable(self.previous):
            _signal.signal(_signal.SIGINT, self.previous)
            if self.held:
                self.previous(*self.held)

"""Updates that an interrupt cannot split.

Python handles signals between the instructions of its main thread, so Ctrl-C may come between two updates. While a call
writes, its shield holds the interrupt back and delivers it when everything is written; before that, the interrupt comes
at once and nothing is written. The cost is that of setting a signal handler twice, about 1 us.

The text of this module, without this introduction, stands in each exported module that needs it.
"""

import _signal
import threading


class Shield:
    """Holds SIGINT back in functions that write, from a line on: `starts` has that line for the code of each."""

    def __init__(self, starts):
        self.starts, self.previous, self.held = starts, None, ()

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            previous = _signal.getsignal(_signal.SIGINT)
            if callable(previous):  # else nothing is raised
                self.previous = previous
                _signal.signal(_signal.SIGINT, self.handle)

    def handle(self, number, frame):
        """Note the interrupt if the interrupted function has begun to write, else let it through."""
        at = frame
        while at is not None:
            if at.f_code in self.starts and (at.f_lineno or 0) >= self.starts[at.f_code]:
                self.held = (number, frame)
                return
            at = at.f_back
        _signal.signal(_signal.SIGINT, self.previous)
        self.previous(number, frame)
        _signal.signal(_signal.SIGINT, self.handle)  # it raised nothing: the call goes on

    def __exit__(self, *error):
        if self.previous is not None:
            _signal.signal(_signal.SIGINT, self.previous)
            if self.held:
                self.previous(*self.held)

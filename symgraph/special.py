"""Special functions under SciPy's names: `sg.special.erf`, ... and `scipy.special.erf(tensor)`."""

from .ops.softmax import log_softmax, logsumexp, softmax
from .ops.special import *  # noqa: F403
from .ops.special import __all__ as _special

__all__ = [*_special, "log_softmax", "logsumexp", "softmax"]

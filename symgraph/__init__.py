"""symgraph: mathematics written as NumPy, compiled with its derivatives into the NumPy an expert would write.

import numpy as np
import symgraph as sg

x = sg.symbol("x", ("batch", 3))
w = sg.parameter(np.zeros(3), "w")
loss = sg.mean(np.log(1 + np.exp(-x @ w)))
step = sg.function([x], loss, updates={w: w - 0.1 * sg.grad(loss, w)})
print(step.source)
"""

from __future__ import annotations

__version__ = "0.1.0"

from typing import TYPE_CHECKING, Any

from . import numpy_api as _numpy_api
from . import operators as _operators
from .ops.elementwise import *
from .ops.special import *
from .ops.reduce import *
from .ops.statistics import *
from .ops.norm import *
from .ops.cumulative import *
from .ops.softmax import *
from .ops.shape import *
from .ops.joining import *
from .ops.diagonal import *
from .ops.indexing import *
from .ops.creation import *
from .ops.contract import *
from .ops.linalg import *
from .ops.control import *
from .ops.checkpoint import *
from .ops.custom import *
from .ops.mapped import *
from .ops.windows import *
from .ops.pool import *
from .ops.conv import *
from .ops.convolve import *
from .ops.sorting import *
from .ops.quantiles import *
from .ops.nans import *
from .ops.comparing import *
from .ops.differences import *
from .ops.singular import *
from .ops.triangular import *
from .batching import vmap
from .autodiff import grad, hvp, jvp, substitute, value_and_grad, vjp
from .core import Tensor, constant, matrix, scalar, symbol, symbols, vector
from .dims import Dim
from .errors import CompileError, DTypeError, GradientError, ShapeError, SymgraphError
from .function import Function, Parameter, evaluate, function, parameter
from .hazards import Hazard, hazards
from .implicit import implicit
from .interpreter import interpret
from .operators import named
from .provenance import scope
from .rewrite import simplify, stabilize
from .roots import root
from .structured import Structured, hessian, jacobian, laplacian, sparsity
from .taylor import biharmonic, derivative, taylor
from . import func, linalg, optim, random, special

if TYPE_CHECKING:
    from .explanation import explain
    from .printing import to_text
    from .sympy_bridge import from_sympy, to_sympy
    from .typeset import latex
    from .viz import draw, to_graphviz, to_networkx, view

_LAZY = {
    "explain": "explanation", "to_text": "printing", "latex": "typeset", "to_sympy": "sympy_bridge",
    "from_sympy": "sympy_bridge", "draw": "viz", "to_graphviz": "viz", "to_networkx": "viz", "view": "viz",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """What draws and prints is loaded when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})

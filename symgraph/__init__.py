"""symgraph: mathematics written as NumPy, compiled with its derivatives of any order into the NumPy an expert would write.

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

from . import numpy_api as _numpy_api
from . import operators as _operators
from .ops.elementwise import *  # noqa: F403
from .ops.special import *  # noqa: F403
from .ops.reduce import *  # noqa: F403
from .ops.statistics import *  # noqa: F403
from .ops.norm import *  # noqa: F403
from .ops.cumulative import *  # noqa: F403
from .ops.softmax import *  # noqa: F403
from .ops.shape import *  # noqa: F403
from .ops.joining import *  # noqa: F403
from .ops.diagonal import *  # noqa: F403
from .ops.indexing import *  # noqa: F403
from .ops.creation import *  # noqa: F403
from .ops.contract import *  # noqa: F403
from .ops.linalg import *  # noqa: F403
from .ops.control import *  # noqa: F403
from .ops.mapped import *  # noqa: F403
from .autodiff import grad, hessian, hvp, jacobian, jvp, substitute, value_and_grad, vjp
from .core import Tensor, constant, matrix, scalar, symbol, symbols, vector
from .dims import Dim
from .errors import CompileError, DTypeError, GradientError, ShapeError, SymgraphError
from .function import Function, Parameter, evaluate, function, parameter
from .hazards import Hazard, hazards
from .interpreter import interpret
from .operators import named
from .rewrite import simplify, stabilize

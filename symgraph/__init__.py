"""symgraph: mathematics written as NumPy, compiled with its derivatives of any order into the NumPy an expert would write."""

from __future__ import annotations

__version__ = "0.1.0"

from . import operators as _operators
from . import numpy_api as _numpy_api
from . import rewrite as _rewrite
from .autodiff import grad, hessian, hvp, jacobian, jvp, substitute, value_and_grad, vjp
from .core import Tensor, constant, symbol
from .dims import Dim
from .errors import CompileError, DTypeError, GradientError, ShapeError, SymgraphError
from .function import Function, Parameter, evaluate, function, parameter
from .operators import named
from .rewrite import simplify, stabilize

globals().update(_FUNCTIONS)

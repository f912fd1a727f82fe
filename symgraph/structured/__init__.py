"""Structured Jacobians and Hessians: sums of products whose shape a person would find, derived symbolically."""

from __future__ import annotations

from .derive import hessian as hessian
from .derive import jacobian as jacobian
from .laplacian import laplacian as laplacian
from .sparsity import sparsity as sparsity
from .tensor import Structured as Structured

"""Series of tensors in one number t, through any graph: the machinery below `taylor` and `derivative`."""

from .propagation import Jets, coefficients_of
from .series import Series

__all__ = ["Jets", "Series", "coefficients_of"]

"""The records of all the library's primitives."""

from __future__ import annotations

from .array_records import ARRAYS
from .elementwise_records import ELEMENTWISE
from .ops import Record
from .product_records import PRODUCTS

RECORDS: list[Record] = [*ELEMENTWISE, *ARRAYS, *PRODUCTS]

"""The records of all the library's primitives."""

from __future__ import annotations

from .array_records import ARRAYS
from .checkpoint_records import CHECKPOINTS
from .derivative_records import DERIVATIVES
from .elementwise_records import ELEMENTWISE
from .ops import Record
from .optim_records import OPTIM
from .order_records import ORDERS
from .product_records import PRODUCTS
from .window_records import SLIDING

RECORDS: list[Record] = [*ELEMENTWISE, *ARRAYS, *PRODUCTS, *CHECKPOINTS, *DERIVATIVES, *SLIDING, *OPTIM, *ORDERS]

"""Every primitive has a record, and every record holds."""

import numpy as np
import pytest

from symgraph.core import Tensor, symbol, toposort
from symgraph.pytree import flatten
from symgraph.testing import check_op, default_answers, primitives
from symgraph.testing.ops import QUESTIONS
from symgraph.testing.records import RECORDS


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_record(record):
    check_op(record)


def test_every_primitive_has_a_record():
    covered = {name for record in RECORDS for name in record.covered}
    assert set(primitives()) - covered == set()


def test_records_cover_only_what_exists():
    covered = {name for record in RECORDS for name in record.covered}
    assert covered - set(primitives()) == set()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_an_op_is_known_by_what_it_is(record):
    """Its digest orders operands, in every process alike: it must not depend on where the op lies in memory."""
    leaves = [symbol(f"x{i}", np.shape(a), np.asarray(a).dtype) for i, a in enumerate(record.samples[0])]
    made = flatten(record.build(*leaves))[0]
    assert not [node.op for node in toposort([y for y in made if isinstance(y, Tensor)]) if " at 0x" in repr(node.op)]


def test_record_names_differ():
    names = [record.name for record in RECORDS]
    assert sorted(names) == sorted(set(names))


def test_the_report_of_default_answers_names_every_primitive():
    report = default_answers()
    assert set(report) == set(primitives())
    assert all(set(questions) <= set(QUESTIONS) for questions in report.values())
    assert "hazard" not in report["log"] and "hazard" in report["exp"]

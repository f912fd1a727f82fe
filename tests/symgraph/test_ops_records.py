"""Every primitive has a record, and every record holds."""

import pytest

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


def test_record_names_differ():
    names = [record.name for record in RECORDS]
    assert sorted(names) == sorted(set(names))


def test_the_report_of_default_answers_names_every_primitive():
    report = default_answers()
    assert set(report) == set(primitives())
    assert all(set(questions) <= set(QUESTIONS) for questions in report.values())
    assert "hazard" not in report["log"] and "hazard" in report["exp"]

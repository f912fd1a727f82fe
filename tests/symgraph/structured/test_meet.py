"""Common elements of arithmetic progressions, against sets."""

from itertools import product

from symgraph.structured.meet import Progression, common


def elements(p):
    return [p.offset + p.step * i for i in range(p.length)]


def test_common_elements():
    steps = (-3, -2, -1, 1, 2, 4)
    for o, s, m, t, n in product((-2, 0, 3), steps, (1, 2, 5), steps, (1, 3, 6)):
        a, b = Progression(o, s, m), Progression(1, t, n)
        found = common(a, b)
        both = set(elements(a)) & set(elements(b))
        if found is None:
            assert not both
            continue
        i, j = map(elements, found)
        assert all(0 <= k < m for k in i) and all(0 <= k < n for k in j)
        assert [elements(a)[k] for k in i] == [elements(b)[k] for k in j]
        assert {elements(a)[k] for k in i} == both and len(i) == len(both)

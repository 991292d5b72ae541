"""How values cross between processes."""

from collections import deque
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layergym.envs.sandbox.values import decode, encode, refill

_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
        | st.sets(st.integers() | st.text(), max_size=4)
    ),
    max_leaves=12,
)


@given(_PLAIN)
def test_plain_values_come_back_the_same(value: object) -> None:
    back = decode(encode(value))
    assert (back, type(back)) == (value, type(value))


@given(st.fractions() | st.decimals(allow_nan=False) | st.integers(0, 9).map(range))
def test_numbers_of_the_standard_library_come_back_the_same(value: object) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.1), 0.1),
        (np.longdouble(0.25), 0.25),
        (np.clongdouble(1 + 2j), 1 + 2j),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.array([0.1], np.float16), [0.1]),
        (np.array([], np.float32), []),
        (np.array([np.longdouble(1)]), [1.0]),
        (np.bool_(True), True),
        ({np.int64(3): (np.str_("a"),)}, {3: ("a",)}),
    ],
    ids=repr,
)
def test_numpy_comes_back_as_python(value: object, plain: object) -> None:
    assert repr(decode(encode(value))) == repr(plain)


@pytest.mark.parametrize(
    "data",
    [
        {"fraction": [1, 0]},
        {"fraction": [1]},
        {"fraction": ["1e99999999", 1]},
        {"fraction": [{"decimal": ["1e99999999"]}, 1]},
        {"decimal": ["letters"]},
        {"decimal": [[1, 2]]},
        {"decimal": []},
        {"complex": ["a"]},
        {"complex": [{"int": "f" * 400}]},
        {"range": [0, 1, 0]},
        {"set": [[]]},
        {"dict": [[1]]},
        {"type": "no such"},
        {"int": 5},
        {"ref": 0},
        {},
    ],
    ids=repr,
)
def test_what_encode_does_not_make_is_refused(data: object) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        decode(data)


def test_only_what_can_change_is_refilled_and_with_its_own_kind() -> None:
    same = held = deque([1, 2], 3)
    refill(held, deque([4, 5, 6, 7]))
    assert list(same) == [5, 6, 7]
    for old, new in (((1,), (2,)), ([1], {1}), ({1: 2}, [1]), (None, [1]), ("a", "b")):
        with pytest.raises(TypeError):
            refill(old, new)


def test_a_number_is_never_taken_for_another_kind() -> None:
    kinds = (Fraction(1, 2), Decimal("0.50"), 0.5, 0.5 + 0j)
    assert [repr(decode(encode(value))) for value in kinds] == [repr(value) for value in kinds]

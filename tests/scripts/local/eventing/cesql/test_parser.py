"""Cases from the text of CloudEvents SQL 1.0."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.local.eventing.cesql import CesqlError, CesqlSyntaxError, parse

EVENT = {
    "specversion": "1.0",
    "id": "42",
    "source": "/deep/sea",
    "type": "dev.hadal.dive.v1",
    "tenant": "acme",
    "depth": "10935",
    "night": "TRUE",
    "percent": "100%",
    "quote": "it's",
    "path": r"a\b",
    "empty": "",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # literals
        ("TRUE", True),
        ("false", False),
        ("7", 7),
        ("-2147483648", -(2**31)),
        ("'it\\'s'", "it's"),
        ('"a \\"b\\""', 'a "b"'),
        # attributes, in any case
        ("TENANT", "acme"),
        ("exists tenant", True),
        ("EXISTS missing", False),
        ("EXISTS empty", True),
        ("EXISTS specversion", True),
        # arithmetic
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("2 - 3 - 4", -5),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7 / -2", -3),
        ("-7 % 3", -1),
        ("7 % -3", 1),
        ("depth + 1", 10936),
        ("TRUE + 1", 2),
        ("2147483647 + 1", -(2**31)),
        ("- depth * 2", -21870),
        ("-(5)", -5),
        # comparisons
        ("depth > 6000", True),
        ("depth <= 10935", True),
        ("'10' < 9", False),
        ("depth = 10935", True),
        ("10935 = depth", True),
        ("night = true", True),
        ("tenant <> 'acme'", False),
        ("tenant != 'other'", True),
        ("1 = TRUE", True),
        ("TRUE = 'true'", True),
        # logic: alike, and to the right
        ("TRUE OR TRUE AND FALSE", True),
        ("FALSE AND TRUE OR TRUE", False),
        ("TRUE XOR TRUE XOR TRUE", True),
        ("NOT FALSE", True),
        ("NOT night", False),
        ("FALSE AND missing", False),
        ("TRUE OR missing", True),
        ("1 AND 0", False),
        # NOT binds more tightly than anything behind its operand
        ("NOT TRUE = FALSE", True),
        ("NOT 'true' LIKE 'false'", True),
        # LIKE
        ("tenant LIKE 'a%'", True),
        ("tenant LIKE 'a_me'", True),
        ("tenant LIKE 'a_e'", False),
        ("tenant NOT LIKE '%x%'", True),
        ("percent LIKE '100\\%'", True),
        ("tenant LIKE 'a\\_me'", False),
        ("depth LIKE '1%5'", True),
        ("source LIKE '/deep.sea'", False),
        ("path LIKE 'a\\b'", True),
        ("empty LIKE ''", True),
        ("empty LIKE '%'", True),
        # IN
        ("tenant IN ('x', 'acme')", True),
        ("tenant NOT IN ('x', 'y')", True),
        ("depth IN (1, 10935)", True),
        ("5 IN ('4', '5')", True),
        ("2 + 3 IN (5)", 2),
        # functions
        ("LENGTH(tenant)", 4),
        ("length(depth)", 5),
        ("CONCAT(tenant, '-', 1, TRUE)", "acme-1true"),
        ("CONCAT()", ""),
        ("CONCAT_WS(', ', 'a', 2)", "a, 2"),
        ("CONCAT_WS(',')", ""),
        ("UPPER(tenant)", "ACME"),
        ("LOWER('ÄB')", "äb"),
        ("TRIM('  a b ')", "a b"),
        ("LEFT('abc', 2)", "ab"),
        ("LEFT('abc', 9)", "abc"),
        ("RIGHT('abc', 2)", "bc"),
        ("RIGHT('abc', 0)", ""),
        ("SUBSTRING('abcdef', 3)", "cdef"),
        ("SUBSTRING('abcdef', -2)", "ef"),
        ("SUBSTRING('abcdef', 2, 3)", "bcd"),
        ("SUBSTRING('abcdef', 0)", ""),
        ("SUBSTRING('abc', 2, 9)", "bc"),
        ("ABS(-3)", 3),
        ("INT('-12')", -12),
        ("BOOL('False')", False),
        ("STRING(12)", "12"),
        ("IS_INT('12')", True),
        ("IS_INT('twelve')", False),
        ("IS_BOOL('yes')", False),
        ("IS_BOOL(night)", True),
    ],
)
def test_an_expression_has_the_value_that_the_specification_says(text: str, value: object) -> None:
    found = parse(text)(EVENT)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "missing",
        "missing = missing",
        "tenant + 1",
        "tenant AND TRUE",
        "tenant = TRUE",
        "1 / 0",
        "1 % 0",
        "INT('2147483648')",
        "INT('1e3')",
        "INT(' 1')",
        "BOOL('yes')",
        "ABS(-2147483648)",
        "LEFT('abc', -1)",
        "SUBSTRING('abc', 4)",
        "SUBSTRING('abc', 1, -1)",
        "LENGTH(missing)",
        "TRUE AND missing",
        "missing IN ('a')",
    ],
)
def test_what_has_no_value_is_an_error_of_its_own(text: str) -> None:
    with pytest.raises(CesqlError):
        parse(text)(EVENT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is missing before the end"),
        ("type = ", "is missing before the end"),
        ("= 1", "is missing before '=' at character 1"),
        ("(1 + 2", "')' is missing before the end"),
        ("1 2", "missing before '2' at character 3"),
        ("1 -1", "missing before '-1' at character 3"),
        ("tenant ? 1", "'?' at character 8"),
        ("'open", "character 1"),
        ("tenant LIKE name", "LIKE takes a string"),
        ("tenant IN ()", "empty list"),
        ("tenant IN 'a'", "'('"),
        ("tenant NOT = 1", "LIKE or IN is missing"),
        ("EXISTS 'a'", "EXISTS takes an attribute's name"),
        ("a_b = 1", "no name of an attribute"),
        ("F1(2)", "no name of an attribute or a function"),
        ("DEPTH_OF(tenant)", "there is no function DEPTH_OF of 1 arguments; there are ABS"),
        ("LEFT('a')", "there is no function LEFT of 1 arguments"),
        ("CONCAT_WS()", "there is no function CONCAT_WS of 0 arguments"),
        ("2147483648", "32 bits"),
        ("(" * 200 + "1" + ")" * 200, "more than 100 brackets"),
        ("NOT " * 200 + "TRUE", "more than 100 brackets"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(CesqlSyntaxError) as refused:
        parse(text)
    assert said in str(refused.value)


@given(st.text(alphabet="ab1'\"()=<>!%-+* \\,_ANDORLIKETS", max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        expression = parse(text)
    except CesqlSyntaxError:
        return
    with contextlib.suppress(CesqlError):
        assert isinstance(expression(EVENT), str | int | bool)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_a_quotient_and_its_remainder_make_the_dividend(x: int, y: int) -> None:
    if y == 0:
        return
    quotient, remainder = parse(f"({x}) / ({y})")({}), parse(f"({x}) % ({y})")({})
    assert isinstance(quotient, int) and isinstance(remainder, int)
    assert (quotient * y + remainder - x) % 2**32 == 0
    assert abs(remainder) < abs(y)

"""Every query is a tree or one clear error; a number means what its suffix says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.vault.errors import BadQueryError
from birdbone.vault.query.language import (
    AllOf,
    AnyOf,
    Compare,
    Constant,
    FieldName,
    IsIn,
    IsNull,
    Like,
    Not,
    parse_order,
    parse_query,
)

FIELD_NAMES = st.from_regex(r"[a-z_][a-z0-9_.]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"and", "or", "not", "like", "in", "is", "null", "asc", "desc"}
)
ANY_NAMES = FIELD_NAMES | st.text(min_size=1, max_size=8).filter(lambda name: '"' not in name).map(lambda n: f"{n} ")
CONSTANTS = st.text(max_size=8) | st.floats(allow_nan=False, allow_infinity=False)


def single_tests() -> st.SearchStrategy:
    name, constant = st.builds(named, ANY_NAMES), st.builds(constant_of, CONSTANTS)
    pattern = st.builds(constant_of, st.text(max_size=8))
    return (
        st.builds(Compare, field=name, operator=st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), constant=constant)
        | st.builds(Like, field=name, constant=pattern)
        | st.builds(IsIn, field=name, constants=st.lists(constant, min_size=1, max_size=3).map(tuple))
        | st.builds(IsNull, field=name)
    )


def trees() -> st.SearchStrategy:
    def larger(smaller):
        several = st.lists(smaller, min_size=2, max_size=3).map(tuple)
        return st.builds(Not, part=smaller) | st.builds(AllOf, parts=several) | st.builds(AnyOf, parts=several)

    return st.recursive(single_tests(), larger, max_leaves=8)


def named(name: str) -> FieldName:
    return FieldName(name=name, position=0)


def constant_of(value: str | float) -> Constant:
    return Constant(value=value, position=0)


def written(tree) -> str:
    match tree:
        case Not(part=part):
            return f"not ({written(part)})"
        case AllOf(parts=parts):
            return " AND ".join(f"({written(part)})" for part in parts)
        case AnyOf(parts=parts):
            return " or ".join(f"({written(part)})" for part in parts)
        case Compare(field=field, operator=operator, constant=constant):
            return f'"{field.name}"{operator}{value_of(constant)}'
        case Like(field=field, constant=constant):
            return f'"{field.name}" Like {value_of(constant)}'
        case IsIn(field=field, constants=constants):
            return f'"{field.name}" in ({", ".join(map(value_of, constants))})'
        case IsNull(field=field):
            return f'"{field.name}" is NULL'


def value_of(constant: Constant) -> str:
    value = constant.value
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def without_places(tree):
    match tree:
        case Not(part=part):
            return Not(part=without_places(part))
        case AllOf(parts=parts):
            return AllOf(parts=tuple(map(without_places, parts)))
        case AnyOf(parts=parts):
            return AnyOf(parts=tuple(map(without_places, parts)))
        case Compare(field=field, operator=operator, constant=constant):
            return Compare(field=named(field.name), operator=operator, constant=constant_of(constant.value))
        case Like(field=field, constant=constant):
            return Like(field=named(field.name), constant=constant_of(constant.value))
        case IsIn(field=field, constants=constants):
            return IsIn(field=named(field.name), constants=tuple(constant_of(c.value) for c in constants))
        case IsNull(field=field):
            return IsNull(field=named(field.name))


@settings(max_examples=200, deadline=None)
@given(trees())
def test_what_is_written_is_read_back(tree):
    assert without_places(parse_query(written(tree))) == tree


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            [
                "size",
                ">",
                "=",
                "(",
                ")",
                "'x'",
                "1",
                "50%",
                "and",
                "or",
                "not",
                "is",
                "null",
                "in",
                ",",
                "like",
                "'",
                "==",
            ]
        ),
        max_size=9,
    ).map(" ".join)
)
def test_any_text_is_a_query_or_an_error_that_shows_a_place_in_it(text):
    error = error_of(text)
    if error is not None:
        assert 0 <= error.fields["position"] <= len(text)
        assert error.message.endswith("^")
        assert error.hint


def error_of(text: str) -> BadQueryError | None:
    try:
        parse_query(text)
    except BadQueryError as error:
        return error
    return None


def test_and_binds_closer_than_or_and_not_closest():
    tree = parse_query("not a = 1 and b = 2 or c = 3")
    assert isinstance(tree, AnyOf)
    assert isinstance(tree.parts[0], AllOf)
    assert isinstance(tree.parts[0].parts[0], Not)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("50%", 0.5),
        ("7%", 0.07),
        ("0.7%", 0.007),
        ("-3", -3.0),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("100MB", 100e6),
        ("1.5GiB", 1.5 * 2**30),
        ("12k", 12e3),
        ("12KB", 12e3),
        ("4Ki", 4096.0),
        ("8B", 8.0),
        ("2T", 2e12),
    ],
)
def test_a_suffix_scales_the_number(text, value):
    tree = parse_query(f"size >= {text}")
    assert isinstance(tree, Compare)
    assert tree.constant.value == value


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "sparsity >",
            "Expected a number or a text in single quotes; the query ends here.\n  sparsity >\n            ^",
            "",
        ),
        ("> 3", "Expected a field; '>' came.\n  > 3\n  ^", ""),
        ("3 < size", "Expected a field; '3' came.\n  3 < size\n  ^", "A field comes first"),
        ("a == 1", "'=' came.\n  a == 1\n     ^", "Equality is one `=`."),
        ("a = b", "'b' came.\n  a = b\n      ^", "in single quotes: 'b'"),
        ("a = null", "'null' came", "is null"),
        ("a = 'x", "\"'\" cannot be read.\n  a = 'x\n      ^", "no closing quote"),
        ("a = 1 && b = 2", "'&' cannot be read", "Write `and`."),
        ("size > 100 MB", "'MB' came", "right after the number"),
        ("size > 100mb", "'100mb' ends in no suffix", "Use %"),
        ("(a = 1", "Expected `)`; the query ends here.\n  (a = 1\n        ^", "Close the parenthesis."),
        ("a = 1)", "')' came", "one `)` too many"),
        ("a in 3", "Expected `(`", "kind in ("),
        ("a like 3", "Expected a text in single quotes", "single quotes"),
        ("a is 3", "Expected `null`", "`is null`"),
        ("a b = 1", "'b' came", "double quotes"),
        ("a = 1e999", "too large", ""),
        ("a = 1e99999999999", "too large", ""),
        ("a = 1\nand b ! 2", "'!' cannot be read.\n  and b ! 2\n        ^", "`!=`"),
        ("not " * 60 + "a = 1", "inside each other", "Take it apart."),
        ("(" * 5000 + "a = 1" + ")" * 5000, "inside each other", "Take it apart."),
    ],
)
def test_a_mistake_is_shown_with_a_caret_and_a_hint(text, message, hint):
    with pytest.raises(BadQueryError) as caught:
        parse_query(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_query_of_a_novel_is_refused():
    with pytest.raises(BadQueryError, match="at most 20,000 characters"):
        parse_query("a = 1 or " * 9000 + "a = 1")


def test_an_order_is_a_list_of_fields_with_their_directions():
    keys = parse_order('sparsity desc, time ASC, "in", size')
    assert [(key.field.name, key.is_descending) for key in keys] == [
        ("sparsity", True),
        ("time", False),
        ("in", False),
        ("size", False),
    ]
    assert parse_order(" ") == []


@pytest.mark.parametrize("text", ["desc", "size,", "size time", "size desc desc", ", size"])
def test_an_order_that_is_none_is_refused(text):
    with pytest.raises(BadQueryError, match="Expected"):
        parse_order(text)

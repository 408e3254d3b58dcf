"""The query language: from text to a tree, never to code that runs.

```text
query  = [ either ]                                   an empty query matches every version
either = both { "or" both }
both   = term { "and" term }
term   = "not" term | "(" either ")" | test
test   = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
       | field [ "not" ] "like" text
       | field [ "not" ] "in" "(" value { "," value } ")"
       | field "is" [ "not" ] "null"
field  = letter { letter | digit | "_" | "." | "/" | "-" } | '"' anything '"'
value  = text | number
text   = "'" anything "'"                             a quote inside is doubled: 'Ada''s'
number = [ "-" ] digits [ "." digits ] [ "e" digits ] [ suffix ]
suffix = "%" | ( "k" | "M" | "G" | "T" | "P" ) [ "i" ] [ "B" ] | "B"
order  = field [ "asc" | "desc" ] { "," field [ "asc" | "desc" ] }
```

Words of the language (`and or not like in is null asc desc`) may be in any case; a field that is called like one of
them stands in double quotes. `50%` is 0.5; `k M G T P` are powers of 1000, `ki Mi Gi Ti Pi` of 1024; a `B` after them
is for the eye. `like` compares the whole text, with `*` for any characters, `?` for one and `[abc]` for one of these.
Times are texts: `'2026-11-01'` (its midnight) or `'2026-11-01T08:30'`, in UTC unless they say otherwise.

A recursive descent, a function a rule of the grammar.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from birdbone.vault.errors import BadQueryError

Value = str | float
Operator = Literal["=", "!=", "<", "<=", ">", ">="]

_MAX_DEPTH = 50  # parentheses and `not` inside each other: far below the depth at which Python's own stack ends
_MAX_CHARACTERS = 20_000
_WORDS = frozenset({"and", "or", "not", "like", "in", "is", "null", "asc", "desc"})
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?P<suffix>%|[A-Za-z]+)?(?![\w.]))
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"[^"]+")
    |(?P<word>[^\W\d][\w./-]*)
    |(?P<mark><=|>=|!=|<>|[=<>(),])""",
    re.VERBOSE,
)
_OPERATORS: dict[str, Operator] = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_POWERS = {"k": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_HINTS = {
    "==": "Equality is one `=`.",
    "&": "Write `and`.",
    "|": "Write `or`.",
    "!": "Write `not`, or `!=` between a field and a value.",
    "~": "Write `like` with `*`.",
    "'": "The text has no closing quote.",
    '"': "The name has no closing quote. A text stands in single quotes.",
    "%": "Write the suffix right after the number: 50%.",
}
_EXAMPLE = "Write such as: sparsity > 50% and phase = 'compress'."


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldName:
    """A field as the query names it, and where."""

    name: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A text or a number of the query, and where it stands."""

    value: Value
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """`field operator value`."""

    field: FieldName
    operator: Operator
    constant: Constant


@dataclass(frozen=True, slots=True, kw_only=True)
class Like:
    """`field like pattern`."""

    field: FieldName
    constant: Constant


@dataclass(frozen=True, slots=True, kw_only=True)
class IsIn:
    """`field in (…)`."""

    field: FieldName
    constants: tuple[Constant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IsNull:
    """`field is null`."""

    field: FieldName


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """`not part`."""

    part: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    """Parts joined by `and`; none of them: true."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """Parts joined by `or`."""

    parts: tuple[Expression, ...]


Test = Compare | Like | IsIn | IsNull
Expression = Test | Not | AllOf | AnyOf


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderKey:
    """One field to sort by."""

    field: FieldName
    is_descending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str
    text: str
    position: int


def parse_query(text: str) -> Expression:
    """Return the tree of a query; an empty one matches everything.

    Raises:
        BadQueryError: it does not follow the grammar. The message shows the place, the hint says what to write.
    """
    parser = _Parser(text=text, tokens=_tokens(text))
    if parser.next.kind == "end":
        return AllOf(parts=())
    tree = parser.either()
    if parser.next.kind != "end":
        raise parser.refused("`and`, `or` or the end", hint=_hint_after_test(parser.next))
    return tree


def parse_order(text: str) -> list[OrderKey]:
    """Return the fields to sort by, the first of them the most important; none for an empty text.

    Raises:
        BadQueryError: it is not a list of fields, each with `asc` or `desc` or neither (ascending).
    """
    parser = _Parser(text=text, tokens=_tokens(text))
    keys: list[OrderKey] = []
    while parser.next.kind != "end":
        if keys:
            parser.expect(",", hint="Write such as: sparsity desc, time.")
        name = parser.field_name()
        is_descending = parser.accept("desc")
        if not is_descending:
            parser.accept("asc")
        keys.append(OrderKey(field=name, is_descending=is_descending))
    return keys


def tests_of(expression: Expression) -> Iterator[Test]:
    """Yield the tests of a tree, from left to right."""
    match expression:
        case AllOf(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from tests_of(part)
        case Not(part=part):
            yield from tests_of(part)
        case test:
            yield test


def refusal(text: str, position: int, what: str, *, hint: str = "") -> BadQueryError:
    """Return the error for a place in a query: what was expected and came, the line, and a caret under the place."""
    return BadQueryError(f"{what}\n{caret(text, position)}", hint=hint or _EXAMPLE, query=text, position=position)


def caret(text: str, position: int) -> str:
    """Return the line of `text` that holds `position`, and below it a caret at the place."""
    begin = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[begin : len(text) if end < 0 else end]
    return f"  {line.expandtabs(1)}\n  {' ' * (position - begin)}^"


@dataclass(slots=True)
class _Parser:
    text: str
    tokens: list[_Token]
    index: int = 0
    depth: int = field(default=0)

    @property
    def next(self) -> _Token:
        return self.tokens[self.index]

    def either(self) -> Expression:
        parts = [self.both()]
        while self.accept("or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else AnyOf(parts=tuple(parts))

    def both(self) -> Expression:
        parts = [self.term()]
        while self.accept("and"):
            parts.append(self.term())
        return parts[0] if len(parts) == 1 else AllOf(parts=tuple(parts))

    def term(self) -> Expression:
        if self.accept("not"):
            return self.nested(lambda: Not(part=self.term()))
        if self.accept("("):
            return self.nested(self.in_parentheses)
        return self.test()

    def nested(self, rule: Callable[[], Expression]) -> Expression:
        if self.depth == _MAX_DEPTH:
            what = f"At most {_MAX_DEPTH} parentheses and `not` may stand inside each other; here is one more."
            raise refusal(self.text, self.tokens[self.index - 1].position, what, hint="Take it apart.")
        self.depth += 1
        inside = rule()
        self.depth -= 1
        return inside

    def in_parentheses(self) -> Expression:
        inside = self.either()
        self.expect(")", hint="Close the parenthesis.")
        return inside

    def test(self) -> Expression:
        name = self.field_name()
        if self.next.text in _OPERATORS and self.next.kind == "mark":
            return Compare(field=name, operator=_OPERATORS[self.advance().text], constant=self.constant())
        if self.accept("is"):
            is_not = self.accept("not")
            self.expect("null", hint="Write `is null` or `is not null`; for a value, `=`.")
            return _negated(IsNull(field=name), is_not)
        is_not = self.accept("not")
        if self.accept("like"):
            return _negated(Like(field=name, constant=self.constant(kind="text")), is_not)
        if self.accept("in"):
            return _negated(IsIn(field=name, constants=self.constants()), is_not)
        raise self.refused("`=`, `!=`, `<`, `<=`, `>`, `>=`, `like`, `in` or `is`", hint=_hint_after_field(self.next))

    def field_name(self) -> FieldName:
        token = self.next
        if token.kind not in ("field", "quoted"):
            raise self.refused(
                "a field", hint="A field comes first, then the value: size > 100MB." if _is_value(token) else ""
            )
        self.advance()
        name = token.text[1:-1] if token.kind == "quoted" else token.text
        return FieldName(name=name, position=token.position)

    def constants(self) -> tuple[Constant, ...]:
        self.expect("(", hint="Write such as: kind in ('model', 'mask').")
        found = [self.constant()]
        while self.accept(","):
            found.append(self.constant())
        self.expect(")", hint="Close the list with `)`.")
        return tuple(found)

    def constant(self, *, kind: str = "") -> Constant:
        token = self.next
        if not _is_value(token) or kind not in ("", token.kind):
            expected = "a text in single quotes" if kind else "a number or a text in single quotes"
            raise self.refused(expected, hint=_hint_for_value(token))
        self.advance()
        value: Value = token.text[1:-1].replace("''", "'") if token.kind == "text" else self.number(token)
        return Constant(value=value, position=token.position)

    def number(self, token: _Token) -> float:
        digits = re.match(r"[-.\d]+(?:[eE][+-]?\d+)?", token.text)
        assert digits is not None
        scale = _scale(token.text[digits.end() :])
        if scale is None:
            what = f"{token.text!r} ends in no suffix that is known here."
            raise refusal(self.text, token.position, what, hint="Use %, k, M, G, T, P, Ki, Mi, Gi, with or without B.")
        try:
            value = float(Decimal(digits.group()) * scale)
        except ArithmeticError:  # an exponent that not even a decimal can hold
            value = math.inf
        if not math.isfinite(value):
            raise refusal(self.text, token.position, f"{token.text!r} is too large for a number.")
        return value

    def accept(self, text: str) -> bool:
        """Step over the next token if it is this word or mark."""
        token = self.next
        if token.kind not in ("keyword", "mark") or token.text != text:
            return False
        self.advance()
        return True

    def expect(self, text: str, *, hint: str) -> None:
        if not self.accept(text):
            raise self.refused(f"`{text}`", hint=hint)

    def advance(self) -> _Token:
        token = self.next
        self.index += 1
        return token

    def refused(self, expected: str, *, hint: str = "") -> BadQueryError:
        token = self.next
        came = "the query ends here" if token.kind == "end" else f"{token.text!r} came"
        return refusal(self.text, token.position, f"Expected {expected}; {came}.", hint=hint)


def _tokens(text: str) -> list[_Token]:
    if len(text) > _MAX_CHARACTERS:
        raise BadQueryError(f"A query has at most {_MAX_CHARACTERS:,} characters; {len(text):,} came.")
    found: list[_Token] = []
    position = 0
    while position < len(text):
        matched = _TOKEN.match(text, position)
        if matched is None:
            raise _unreadable(text, position)
        if matched.lastgroup != "space":
            found.append(_token(matched))
        position = matched.end()
    return [*found, _Token(kind="end", text="", position=len(text.rstrip()))]


def _token(matched: re.Match[str]) -> _Token:
    kind = "number" if matched["number"] else str(matched.lastgroup)
    text = matched.group()
    if kind == "word":
        kind, text = ("keyword", text.lower()) if text.lower() in _WORDS else ("field", text)
    return _Token(kind=kind, text=text, position=matched.start())


def _unreadable(text: str, position: int) -> BadQueryError:
    word = re.match(r"[\w.]+|.", text[position:], re.DOTALL)
    found = word.group() if word else ""
    hint = _HINTS.get(found, "A name with other characters stands in double quotes, a text in single ones.")
    return refusal(text, position, f"{found!r} cannot be read.", hint=hint)


def _scale(suffix: str) -> Decimal | None:
    if suffix in ("", "B"):
        return Decimal(1)
    if suffix == "%":
        return Decimal("0.01")
    prefix, is_binary = suffix.removesuffix("B"), suffix.removesuffix("B").endswith("i")
    letter = prefix.removesuffix("i")
    power = _POWERS.get("k" if letter == "K" else letter)
    return None if power is None else Decimal(1024 if is_binary else 1000) ** power


def _negated(test: Test, is_not: bool) -> Expression:
    return Not(part=test) if is_not else test


def _is_value(token: _Token) -> bool:
    return token.kind in ("text", "number")


def _hint_for_value(token: _Token) -> str:
    if token.kind == "mark" and token.text == "=":
        return _HINTS["=="]
    if token.text == "null":
        return "Write `is null` or `is not null`."
    if token.kind in ("field", "quoted", "keyword"):
        return f"If the text is meant, write it in single quotes: '{token.text.strip(chr(34))}'."
    return "If the text is meant, write it in single quotes." if token.kind == "number" else ""


def _hint_after_field(token: _Token) -> str:
    return "A name with spaces stands in double quotes." if token.kind == "field" else ""


def _hint_after_test(token: _Token) -> str:
    if token.kind == "field" and _scale(token.text) is not None:
        return "Write the suffix right after the number: 100MB."
    return "There is one `)` too many." if token.text == ")" else ""

"""RFC 8785 canonical JSON over strictly parsed input, written from the RFC with Python's standard library only."""
import json
import math
from decimal import Decimal

MAX_DEPTH = 32
SAFE = 2**53


class Bad(Exception):
    """The text is not JSON that every reader understands alike."""


def number(value):
    """ECMAScript's Number::toString."""
    value = float(value)
    if not math.isfinite(value):
        raise Bad("not a JSON number")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + exponent  # the value is 0.TEXT * 10^point
    text = text.rstrip("0")
    count = len(text)
    if count <= point <= 21:
        out = text + "0" * (point - count)
    elif 0 < point <= 21:
        out = text[:point] + "." + text[point:]
    elif -6 < point <= 0:
        out = "0." + "0" * -point + text
    else:
        fraction = "." + text[1:] if count > 1 else ""
        out = f"{text[0]}{fraction}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return "-" + out if sign else out


def string(text):
    short = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    return '"' + "".join(short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'


def text_of(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, str):
        return string(value)
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
    return "{" + ",".join(string(name) + ":" + text_of(item) for name, item in members) + "}"


def canonical(value):
    return text_of(value).encode("utf-8")


def parse_float(literal):
    value = float(literal)
    if not math.isfinite(value):
        raise Bad("too large")
    return int(value) if value.is_integer() and abs(value) <= SAFE else value


def parse_int(literal):
    value = int(literal)
    if abs(value) <= SAFE:
        return value
    if number(value) != literal:
        raise Bad("an integer beyond 2^53")
    return float(value)


def parse_constant(name):
    raise Bad(f"{name} is no JSON")


def members_of(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Bad("a member stands twice")
    return members


def check(value, depth):
    if isinstance(value, str):
        value.encode("utf-8")  # refuses lone surrogates
    elif isinstance(value, (list, dict)):
        if depth == MAX_DEPTH:
            raise Bad("nested too deep")
        for item in value:
            check(item if isinstance(value, list) else value[item], depth + 1)
            if isinstance(value, dict):
                item.encode("utf-8")


def parse(data):
    try:
        value = json.loads(data.decode("utf-8"), parse_float=parse_float, parse_int=parse_int,
                           parse_constant=parse_constant, object_pairs_hook=members_of)
        check(value, 0)
        return value
    except (ValueError, OverflowError, RecursionError) as error:
        raise Bad(str(error)) from error

"""Small checks out of which the rules of Block Kit are put together.

A check looks at a value and the JSON pointer it stands at, and yields what is wrong in the words
Slack uses: `must be less than 3001 characters [json-pointer:/blocks/0/text/text]`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Check = Callable[[Any, str], Iterator[str]]


def at(what: str, path: str) -> str:
    """A complaint and where it belongs."""
    return f"{what} [json-pointer:{path}]"


def anything(_value: Any, _path: str) -> Iterator[str]:
    """No rule of ours."""
    return iter(())


def boolean(value: Any, path: str) -> Iterator[str]:
    """True or false."""
    if not isinstance(value, bool):
        yield at("must provide a boolean", path)


def integer(least: int | None = None, most: int | None = None) -> Check:
    """A whole number within bounds."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, int) or isinstance(value, bool):
            yield at("must provide an integer", path)
        elif least is not None and value < least:
            yield at(f"must be more than {least - 1}", path)
        elif most is not None and value > most:
            yield at(f"must be less than {most + 1}", path)

    return check


def string(most: int | None = None, least: int = 0) -> Check:
    """A text within lengths, counted in characters."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield at("must provide a string", path)
        elif len(value) < least:
            yield at(f"must be more than {least - 1} characters", path)
        elif most is not None and len(value) > most:
            yield at(f"must be less than {most + 1} characters", path)

    return check


def one_of(*allowed: str) -> Check:
    """One of a few words."""

    def check(value: Any, path: str) -> Iterator[str]:
        if value not in allowed:
            yield at(f"must be one of: {', '.join(allowed)}", path)

    return check


def items(inside: Check, most: int | None = None, least: int = 0) -> Check:
    """A list within a count, each item checked."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield at("must provide an array", path)
            return
        if len(value) < least:
            yield at(f"no fewer than {least} items allowed", path)
        if most is not None and len(value) > most:
            yield at(f"no more than {most} items allowed", path)
        for index, item in enumerate(value):
            yield from inside(item, f"{path}/{index}")

    return check


def record(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    """An object with these fields and no others."""
    known = {**optional, **required}

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield at("must provide an object", path)
            return
        for name in required:
            if value.get(name) is None:
                yield at(f"missing required field: {name}", path)
        for name, inside in value.items():
            if name not in known:
                yield at(f"invalid additional property: {name}", path)
            elif inside is not None:
                yield from known[name](inside, f"{path}/{name}")

    return check


def by_type(table: Mapping[str, Check]) -> Check:
    """An object whose `type` says which rule holds."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield at("must provide an object", path)
        elif "type" not in value:
            yield at("missing required field: type", path)
        elif value["type"] not in table:
            yield at(f"unsupported type: {value['type']}", f"{path}/type")
        else:
            yield from table[value["type"]](value, path)

    return check


def both(first: Check, second: Check) -> Check:
    """Two rules for one value; the second only where the first holds."""

    def check(value: Any, path: str) -> Iterator[str]:
        wrong = list(first(value, path))
        yield from wrong or second(value, path)

    return check


def needs_one(*names: str) -> Check:
    """At least one of these fields is there."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not any(value.get(name) is not None for name in names):
            wanted = " or ".join(f"`{name}`" for name in names)
            yield at(f"must define either {wanted}", path)

    return check

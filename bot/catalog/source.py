"""YAML read with its line numbers, so that every complaint can say where."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bot import errors

Spot = tuple[str | int, ...]
_INTEGER = re.compile(r"[0-9]{1,9}")
_LARGEST = 1_000_000  # bytes of file
_MOST_NODES = 50_000  # after aliases are followed


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with the file."""

    line: int
    message: str


@dataclass(slots=True, kw_only=True)
class Source:
    """The file as plain values, with the line of every key and item."""

    name: str  # as people know the file
    text: bytes
    data: Any = None
    lines: dict[Spot, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Spot) -> int:
        """The line of `path`, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def complain(self, path: Spot, message: str) -> None:
        """Note that something at `path` is wrong."""
        self.problems.append(Problem(line=self.line(path), message=message))

    def raise_problems(self, most: int = 10) -> None:
        """Raise CatalogError with every problem noted so far, in the file's order."""
        if not self.problems:
            return
        found = sorted(set(self.problems), key=lambda p: (p.line, p.message))
        said = [f"{self.name}:{p.line}: {p.message}" for p in found[:most]]
        if len(found) > most:
            said.append(f"… and {len(found) - most} more")
        raise errors.CatalogError("\n".join(said))


def read(path: Path) -> Source:
    """Parse the file. Raises CatalogError when it is absent, unreadable or not YAML."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise errors.CatalogError(
            f"There is no catalog at {path}; `jit init` writes one, JIT_CATALOG names another."
        ) from None
    except OSError as error:
        raise errors.CatalogError(f"{path} cannot be read: {error.strerror}.") from None
    return parse(text, path.name)


def parse(text: bytes, name: str) -> Source:
    """Parse the text of a catalog. Raises CatalogError when it is not YAML."""
    source = Source(name=name, text=text)
    if len(text) > _LARGEST:
        raise errors.CatalogError(f"{name} is larger than {_LARGEST} bytes; that is no catalog.")
    node = _compose(source)
    if node is not None:
        source.data = _Reader(source).value(node, ())
    source.raise_problems()
    return source


def _compose(source: Source) -> yaml.Node | None:
    try:
        return yaml.compose(source.text.decode(), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise errors.CatalogError(f"{source.name} is not text in UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        said = f"{source.name}:{line}: this is not YAML: {error.problem or error.context}"
        raise errors.CatalogError(said + _quoting_hint(source.text, line)) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise errors.CatalogError(f"{source.name} is not YAML: {error}") from None


def _quoting_hint(text: bytes, line: int) -> str:
    """YAML gives @ and # meanings of its own, and our references begin with them."""
    around = text.decode().splitlines()[max(0, line - 4) : line]
    if any(re.search(r"[\[,\s-][@#%]\w", x) for x in around):
        return '. Put quotes around names that begin with @ or #, like "@data-owners"'
    return ""


class _Reader:
    """Turns nodes into values: text stays text (no sexagesimal times, no Norway as false)."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._seen = 0
        self._open: list[yaml.Node] = []

    def value(self, node: yaml.Node, path: Spot) -> Any:
        self._source.lines.setdefault(path, node.start_mark.line + 1)
        self._seen += 1
        if self._seen > _MOST_NODES or any(node is outer for outer in self._open):
            raise errors.CatalogError(f"{self._source.name}: its aliases unfold without end.")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        self._open.append(node)
        try:
            return self._collection(node, path)
        finally:
            self._open.pop()

    def _collection(self, node: yaml.Node, path: Spot) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        return dict(self._items(node, path))

    def _items(self, node: Any, path: Spot) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key == "<<":
                self._source.problems.append(Problem(line=line, message="a key must be plain text"))
                continue
            if key in seen:
                self._source.problems.append(
                    Problem(line=line, message=f"`{key}` stands here twice")
                )
                continue
            seen.add(key)
            self._source.lines[(*path, key)] = line
            yield key, self.value(value_node, (*path, key))


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.style is not None:  # quoted or a block: meant as text
        return text
    if text in {"", "~", "null"}:
        return None
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if _INTEGER.fullmatch(text) and str(int(text)) == text else text

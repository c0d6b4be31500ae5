"""stub"""

from collections.abc import Sequence
from db_grants.postgres import links
from db_grants.spec import Finding, Scope


def examine(link: links.Link, scopes: Sequence[Scope]) -> tuple[Finding, ...]:
    return ()

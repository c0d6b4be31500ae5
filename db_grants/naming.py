"""The names of the roles we make. Plain ASCII of at most 63 bytes, never a person's own text.

PostgreSQL cuts a role name at 63 bytes without an error, and an identifier at a NUL; so every name
here is built from a slug for the eye and a hash for uniqueness.
"""

import hashlib
import json
import re
from collections.abc import Iterable

from db_grants.errors import InvalidScope
from db_grants.spec import Privilege, TableScope

BOOKKEEPING = "jit_managed"  # its members are the managed roles: the mark "is it ours?"
QUARANTINE = "jit_quarantine"  # owns what holders of grants left behind; has no power
# What the bot has no power to do itself, functions of the schema `jit_admin` do for it.
DEPUTIES = (  # those which make, change and drop temporary roles, and no others
    "jit_admin.make_role(text, text, integer, timestamptz, text, boolean)",
    "jit_admin.set_password(text, text)",
    "jit_admin.set_deadline(text, timestamptz, text)",
    "jit_admin.shut_roles(text[])",
    "jit_admin.take_over_roles(text[])",
    "jit_admin.lend_roles(text[])",
    "jit_admin.drop_roles(text[])",
)
ALL_DEPUTIES = (  # with those of what else concerns our roles: a bot that has them needs no power itself
    *DEPUTIES,
    "jit_admin.mend_role(text, text, integer, timestamptz, text, boolean)",
    "jit_admin.make_narrowed_role(text[])",
    "jit_admin.drop_narrowed_roles()",
    "jit_admin.shut_scope_role(text)",
    "jit_admin.reset_scope_role(text, text)",
    "jit_admin.lend_scope_role(text)",
    "jit_admin.return_scope_role(text)",
    "jit_admin.take_back_membership(text, text, text)",
)
STRIPPING = "jit_admin.strip_quarantined()"  # a target may lack it, and is prepared all the same
SUBSET_PREFIX = "jit_u_"
LASTING = "^jit_([sa]_[a-z0-9_]+_|u_)[0-9a-f]{16}$"  # a regular expression: every scope role
TEMPORARY = "^jit_[a-z0-9]{4,40}$"  # the same: the role of a grant
SUBSETS = "^jit_u_[0-9a-f]{16}$"  # the same: the roles of narrowed scopes alone

_LEGAL = re.compile(r"jit_[a-z0-9_]{1,59}")
_SLUG_LENGTH = 24


def managed_role(grant_id: str) -> str:
    """The temporary role of one grant: `jit_<id>`, never used again. Raises InvalidScope."""
    if not re.fullmatch(r"[a-z0-9]{4,40}", grant_id):
        raise InvalidScope("A grant's id must be 4 to 40 lower-case letters and digits.")
    return f"jit_{grant_id}"


def scope_role(name: str, database: str) -> str:
    """The lasting role of an entitlement in one database."""
    return _named("jit_s_", name, "", _hash(database, name))


def atom_role(table: TableScope, privileges: Iterable[Privilege], database: str) -> str:
    """The lasting role that carries `privileges` on one table (or columns of it), and only those."""
    kinds = sorted(privileges)
    letter = "r" if kinds == [Privilege.SELECT] else "w"
    identity = _hash(database, table.schema, table.table, sorted(table.columns), kinds)
    return _named("jit_a_", table.table, f"_{letter}", identity)


def subset_role(atoms: Iterable[str]) -> str:
    """The role of a narrowed scope, named by what it carries, so that equal subsets share it."""
    return f"{SUBSET_PREFIX}{_hash(*sorted(atoms))}"


def is_legal(name: str) -> bool:
    """Whether a role of that name may be one of ours."""
    return _LEGAL.fullmatch(name) is not None


def _named(prefix: str, text: str, suffix: str, identity: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:_SLUG_LENGTH] or "x"
    return f"{prefix}{slug}{suffix}_{identity}"


def _hash(*parts: object) -> str:
    """64 bits of a hash over the parts: an accident is out of reach, and DBAs write the catalog."""
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]

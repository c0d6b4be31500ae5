"""stub"""

from datetime import datetime
from db_grants.postgres import links
from db_grants.spec import Activity, Evidence, ManagedRole


def of_role(link: links.Link, role: ManagedRole, since: datetime) -> Activity:
    return Activity(evidence=Evidence.NONE, note="stub")

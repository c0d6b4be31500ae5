"""The deadline that the server itself keeps: exact in every time zone, and moved when it is shortened."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import sql

from bot import clock as clocks
from bot.granting import skew
from db_grants import naming
from db_grants.spec import GrantSpec
from tests.fixtures_postgres import Shop

pytestmark = pytest.mark.target

# An hour that happens twice in Berlin, and one that does not happen at all.
MOMENTS = [
    datetime(2031, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=0),
    datetime(2031, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    datetime(2031, 3, 30, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")),
    datetime(2031, 7, 1, 12, 0, tzinfo=UTC),
]


def kept(shop: Shop, role: str) -> datetime:
    with shop.connect() as admin:
        query = "SELECT extract(epoch FROM rolvaliduntil)::float8 FROM pg_roles WHERE rolname = %s"
        row = admin.execute(query, [role]).fetchone()
    assert row is not None
    return datetime.fromtimestamp(row[0], UTC)


@pytest.mark.parametrize("zone", ["America/St_Johns", "Asia/Kathmandu", "Europe/Berlin"])
@pytest.mark.parametrize("style", ["ISO, DMY", "German", "SQL, MDY"])
def test_neither_the_servers_zone_nor_its_date_style_moves_a_deadline(
    shop: Shop, zone: str, style: str
) -> None:
    with psycopg.connect(shop.admin_url, autocommit=True) as admin:
        for name, value in (("TimeZone", zone), ("DateStyle", style)):
            admin.execute(
                sql.SQL("ALTER ROLE jit_bot SET {} = {}").format(
                    sql.Identifier(name), sql.Literal(value)
                )
            )
    engine = shop.engine()
    try:
        wanted = GrantSpec(
            grant_id="dead11ne",
            role_name=naming.managed_role("dead11ne"),
            scope=shop.scope("read_customer_data"),
            expires_at=MOMENTS[0],
        )
        role = engine.create(wanted)
        for moment in MOMENTS:
            engine.set_deadline(role, moment)
            assert kept(shop, role.name) == moment.astimezone(UTC)
            (found,) = (each for each in engine.managed() if each.oid == role.oid)
            assert found.valid_until == found.expires_at == moment.astimezone(UTC)
        engine.close(role)
        assert engine.remove(role).clean
    finally:
        engine.dispose()
        with psycopg.connect(shop.admin_url, autocommit=True) as admin:
            admin.execute("ALTER ROLE jit_bot RESET TimeZone")
            admin.execute("ALTER ROLE jit_bot RESET DateStyle")


def test_the_servers_clock_is_read(shop: Shop) -> None:
    engine = shop.engine()
    try:
        assert abs(engine.server_time() - datetime.now(UTC)) < timedelta(seconds=5)
        assert engine.server_time().tzinfo is UTC
        assert skew.ahead(engine, clocks.SystemClock()) == timedelta(0)
        late = clocks.ManualClock(datetime.now(UTC) - timedelta(minutes=2))
        assert skew.ahead(engine, late) > timedelta(seconds=115)
    finally:
        engine.dispose()

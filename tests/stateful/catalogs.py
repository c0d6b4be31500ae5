"""The catalog is edited while access is live, and the bot started again (a reload is no more than
that: it looks first, and starts the process anew in its place).
"""

from typing import Any

from hypothesis import stateful
from hypothesis import strategies as st

from bot import model
from tests.real_world import CATALOG
from tests.stateful.history import History

_RULES = CATALOG.index("rules:")
_READ, _WRITE = CATALOG.index("  read_customer_data:"), CATALOG.index("  write_orders:")
_OWNERS = '  owners: {approvers: ["@owners"], auto_approve_up_to: 5m}\n'
_ELSEWHERE = CATALOG.replace("  shop: {url_env: SHOP", "  wiki: {url_env: WIKI")
OFFERS = {
    "as it was": CATALOG,
    "entitlement removed": CATALOG[:_READ] + CATALOG[_WRITE:],
    "entitlement renamed": CATALOG.replace("read_customer_data", "read_nothing"),
    "scope narrowed": CATALOG.replace("columns: [id, name, email, city]", "columns: [id, name]"),
    "scope widened": CATALOG.replace("email, city]", "email, city, ssn]"),
    "rule removed": CATALOG.replace(_OWNERS, "").replace("approval: owners", "approval: two"),
    "rule given to others": CATALOG[:_RULES] + CATALOG[_RULES:].replace("@owners", "@others"),
    "rule made strict": CATALOG.replace(", auto_approve_up_to: 5m", ", needs: 2"),
    "broken": CATALOG.replace("rules:", "rulez:"),
}
PLACES = {
    "as it was": CATALOG,
    "target removed": _ELSEWHERE.replace("target: shop", "target: wiki"),
    "variable renamed": CATALOG.replace("SHOP_URL", "MAIN_URL"),
    "variable names another server": CATALOG.replace("SHOP_URL", "WIKI_URL"),
    "variable not set": CATALOG.replace("SHOP_URL", "LOST_URL"),
}


class CatalogEdits(History):
    """Rules of the catalog."""

    @stateful.rule(target=History.asked, edit=st.sampled_from(sorted(OFFERS)), later=st.booleans())
    def change_what_is_offered(self, edit: str, later: bool) -> Any:
        return self._start_with(OFFERS[edit], whole=True, later=later)

    @stateful.rule(
        target=History.asked,
        edit=st.sampled_from(sorted(PLACES)),
        keeps_variable=st.booleans(),
        later=st.booleans(),
    )
    def move_the_target(self, edit: str, keeps_variable: bool, later: bool) -> Any:
        """`keeps_variable`: whether the old URL is still in the environment."""
        text = PLACES[edit]
        return self._start_with(text, whole=keeps_variable or "SHOP_URL" in text, later=later)

    def _start_with(self, text: str, *, whole: bool, later: bool) -> Any:
        """While somebody holds access, if they can get it; `later`: until its deadline is over."""
        made = self.approved()
        self.world.sweep()
        self.holds()  # by the catalog that is in force until now
        nothing_is_live = not self.world.store.grants(status=model.LIVE_GRANT, limit=1)
        if not nothing_is_live or text not in {OFFERS["broken"], PLACES["variable not set"]}:
            self.world.write(text)
            self.environment(whole=whole)
            self.world.restart()  # with nothing live, it would not start with the others
        self.pass_time(1861 if later else 0.5)
        return made or stateful.multiple()

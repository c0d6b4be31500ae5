"""The cases by name; each yields lines and verdicts."""

from bench.cases import (
    beside,
    chat,
    companies,
    crashes,
    edges,
    ends,
    grants,
    hygiene,
    lifecycles,
    switch,
)
from bench.stage import Case

CASES: dict[str, Case] = {
    "grant": grants.overhead,
    "lifecycles": lifecycles.lifecycles,
    "tables": grants.tables,
    "beside": beside.beside,
    "live": grants.live_grants,
    "at-once": grants.at_once,
    "lateness": ends.lateness,
    "bursts": ends.bursts,
    "crashes": crashes.crashes,
    "kill-switch": switch.kill_switch,
    "chat": chat.chat,
    "dispatch": chat.dispatch,
    "sockets": chat.sockets,
    "words": chat.words,
    "start": edges.start,
    "audit": edges.audit,
    "hygiene": hygiene.hygiene,
    "companies": companies.companies,
}

"""Verifiers of passwords, against libpq's own and RFC 7677's example."""

import base64
import hashlib
import hmac
import re
import secrets
import threading
from concurrent import futures

import pytest

from db_grants.postgres import scram

SHAPE = re.compile(r"SCRAM-SHA-256\$4096:([\w+/=]{24})\$([\w+/=]{44}):([\w+/=]{44})")


def test_a_verifier_has_the_servers_form_and_a_salt_of_its_own() -> None:
    first, second = scram.verifier("the same"), scram.verifier("the same")
    assert SHAPE.fullmatch(first)
    assert first.split("$")[1] != second.split("$")[1]


def test_it_is_what_the_standard_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of RFC 7677, section 3: its proof and its server signature fit the verifier."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    monkeypatch.setattr(secrets, "token_bytes", lambda count: salt[:count])
    found = SHAPE.fullmatch(scram.verifier("pencil"))
    assert found is not None
    stored, server = (base64.b64decode(part) for part in found.groups()[1:])
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    said = (
        f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
    ).encode()
    signature = hmac.digest(stored, said, "sha256")
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    assert hashlib.sha256(client).digest() == stored
    told = base64.b64encode(hmac.digest(server, said, "sha256"))
    assert told == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_what_saslprep_could_change_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        scram.verifier("pässword")


def test_a_password_made_ahead_is_given_once_and_never_again() -> None:
    ahead = scram.Ahead()
    ahead.begin()
    ahead.begin()  # there is one already
    taken = [ahead.take() for _ in range(3)]
    ahead.close()
    assert len({each.password for each in taken}) == 3
    assert len({each.verifier for each in taken}) == 3
    assert all(SHAPE.fullmatch(each.verifier) for each in taken)


def test_it_is_made_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead, made = scram.Ahead(), threading.Event()
    real = scram.fresh

    def fresh() -> scram.Fresh:
        found = real()
        made.set()
        return found

    monkeypatch.setattr(scram, "fresh", fresh)
    ahead.begin()
    assert made.wait(10)
    monkeypatch.setattr(scram, "fresh", None)
    assert len(ahead.take().password) == 32
    ahead.close()


def test_what_is_closed_makes_none_ahead_and_still_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = scram.Ahead()
    ahead.close()
    monkeypatch.setattr(futures, "ThreadPoolExecutor", None)
    ahead.begin()
    assert ahead.take().verifier

"""SCRAM-SHA-256 verifiers, as PostgreSQL keeps them (RFC 5803), worked out on our side.

hashlib's PBKDF2 is OpenSSL's: it takes half the time of libpq's own and lets other threads run.
"""

import base64
import hashlib
import hmac
import secrets

# As the server's own default, scram_iterations. Half of what making a role costs is this, and it guards
# a password of 192 random bits from nothing; but clients in use refuse less (RFC 7677, section 4; in
# pgjdbc's library https://github.com/ongres/scram/issues/20).
_ITERATIONS = 4096
_SALT_BYTES = 16


def verifier(password: str) -> str:
    """The verifier of a password with a salt of its own.

    Plain ASCII only, so that SASLprep would change nothing; raises UnicodeEncodeError otherwise.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")

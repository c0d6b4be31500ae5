"""WebSocket frames out of bytes, as RFC 6455 §5 lays them out. Pure; keeps what is not whole yet."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
_CONTINUATION = 0x0
_CONTROL = 0x8  # this bit marks control frames, which may come between the parts of a message
_TWO_BYTES, _EIGHT_BYTES = 126, 127  # "the length follows"


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole message, or one control frame."""

    opcode: int
    payload: bytes


class Frames:
    """Collects bytes from one socket."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._parts = bytearray()
        self._opcode = _CONTINUATION

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Every message that is whole now."""
        self._waiting += data
        while (found := _split(self._waiting)) is not None:
            final, opcode, payload, length = found
            del self._waiting[:length]
            if opcode & _CONTROL:
                yield Frame(opcode, payload)
                continue
            self._opcode = opcode or self._opcode
            self._parts += payload
            if final:
                yield Frame(self._opcode, bytes(self._parts))
                self._parts = bytearray()


def _split(data: bytearray) -> tuple[bool, int, bytes, int] | None:
    """The first frame of `data`: last part or not, opcode, payload, bytes taken. None: not whole."""
    start, size = _length(data)
    masked = len(data) > 1 and bool(data[1] & 0x80)
    end = start + (4 if masked else 0) + size
    if not start or len(data) < end:
        return None
    payload = bytes(data[end - size : end])
    if masked:  # a server must not, but a proxy between might be odd
        key = data[start : start + 4]
        payload = bytes(byte ^ key[n % 4] for n, byte in enumerate(payload))
    return bool(data[0] & 0x80), data[0] & 0x0F, payload, end


def _length(data: bytearray) -> tuple[int, int]:
    """Where the header ends and how long the payload is; (0, 0) while that cannot be told."""
    if len(data) < 2:  # noqa: PLR2004
        return 0, 0
    short = data[1] & 0x7F
    form, start = {_TWO_BYTES: ("!H", 4), _EIGHT_BYTES: ("!Q", 10)}.get(short, ("", 2))
    if len(data) < start:
        return 0, 0
    return start, struct.unpack(form, data[2:start])[0] if form else short

"""Frames are read whole whatever the cuts between them."""

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from bot.slack import frames

MESSAGES = st.lists(st.text(max_size=300), max_size=8)


def wire(messages: list[str], *, mask: bool = False) -> bytes:
    return b"".join(Frame(Opcode.TEXT, m.encode()).serialize(mask=mask) for m in messages)


def read(data: bytes, step: int) -> list[frames.Frame]:
    reader = frames.Frames()
    return [
        frame for at in range(0, len(data), step) for frame in reader.feed(data[at : at + step])
    ]


@given(messages=MESSAGES, step=st.integers(1, 700), mask=st.booleans())
def test_any_cut_gives_the_same_messages(messages: list[str], step: int, mask: bool) -> None:
    assert [f.payload.decode() for f in read(wire(messages, mask=mask), step)] == messages


def test_every_form_of_length() -> None:
    messages = ["x" * n for n in (0, 1, 125, 126, 65535, 65536, 70000)]
    assert [f.payload.decode() for f in read(wire(messages), 4096)] == messages


def test_ten_thousand_messages_in_one_read_are_no_trouble() -> None:
    assert len(read(wire(["a"] * 10_000), 1 << 20)) == 10_000


def test_a_message_in_parts_with_a_ping_between() -> None:
    data = Frame(Opcode.TEXT, b"one ", fin=False).serialize(mask=False)
    data += Frame(Opcode.PING, b"?").serialize(mask=False)
    data += Frame(Opcode.CONT, b"two").serialize(mask=False)
    found = read(data, 3)
    assert found == [frames.Frame(frames.PING, b"?"), frames.Frame(frames.TEXT, b"one two")]

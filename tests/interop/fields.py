"""How what is signed is written down (docs/protocol.md, 7): fields as in Protocol Buffers, without its library."""

BYTES, NUMBER = 2, 0  # wire types


def uvarint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, value):
    """A field of bytes or an integer; nothing if it is empty or zero."""
    if not value:
        return b""
    if isinstance(value, int):
        return bytes([number << 3 | NUMBER]) + uvarint(value)
    return bytes([number << 3 | BYTES]) + uvarint(len(value)) + value

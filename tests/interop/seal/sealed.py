"""Sealed messages by the letter of docs/protocol.md (6.2), over hpke.py and the messages of ../record/documents.py."""
import hashlib

import documents
import hpke
import jcs
from strict_ed25519 import P, decode, public_key

MEDIA_TYPE = "application/vnd.dotagent.sealed"
BOUND = ("id", "recipient", "sender", "timestamp", "type")
LARGEST = 1 << 20


class Refused(Exception):
    """The one argument is the reason."""


def uvarint(number):
    out = b""
    while number > 0x7f:
        out += bytes([number & 0x7f | 0x80])
        number >>= 7
    return out + bytes([number])


def read_uvarint(data):
    """(number, rest). At most 9 bytes, shortest form."""
    for size in range(1, 10):
        if len(data) < size:
            break
        if data[size - 1] < 0x80:
            number = sum((byte & 0x7f) << 7 * i for i, byte in enumerate(data[:size]))
            if uvarint(number) == data[:size]:
                return number, data[size:]
            break
    raise Refused("BAD_MESSAGE")


def x25519_public(key):
    """RFC 7748, 4.1: u = (1 + y) / (1 - y)."""
    _, y = decode(key)
    return ((1 + y) * pow(1 - y, P - 2, P) % P).to_bytes(32, "little")


def x25519_private(seed):
    return hashlib.sha512(seed).digest()[:32]


def info(sender, recipient):
    return b"dotagent sealed message v1\0" + sender + recipient


def bound(message):
    return jcs.canonical({name: message[name] for name in BOUND})


def describe(media_type, data):
    return {"mediaType": media_type, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def check_attachment(content, data):
    if content.keys() != {"mediaType", "sha256", "size"}:
        if data:
            raise Refused("BAD_MESSAGE")
    elif not isinstance(content["mediaType"], str) or content != describe(content["mediaType"], data):
        raise Refused("BAD_MESSAGE")


def seal_inside(seed, recipient, fields, ephemeral, inside):
    """(message, attachment): whatever is inside, said and signed to be sealed. `fields` are those that stay outside."""
    sealed = hpke.seal(ephemeral, x25519_public(recipient), info(public_key(seed), recipient), bound(fields), inside)
    attachment = b"\1" + recipient + sealed
    return jcs.canonical(documents.sign(seed, {**fields, "content": describe(MEDIA_TYPE, attachment)})), attachment


def seal(seed, recipient, fields, ephemeral, content, data):
    text = jcs.canonical(content)
    return seal_inside(seed, recipient, fields, ephemeral, uvarint(len(text)) + text + data)


def open_(seed, sender, text, attachment):
    """(content, data) of a message that has been verified. Refused."""
    message = jcs.parse(text)
    check_attachment(message["content"], attachment)
    recipient = public_key(seed)
    if message["content"].get("mediaType") != MEDIA_TYPE or message["type"] == "REQUEST" or attachment[:33] != b"\1" + recipient:
        raise Refused("BAD_MESSAGE")
    try:
        inside = hpke.open_(x25519_private(seed), info(sender, recipient), bound(message), attachment[33:])
    except hpke.Refused:
        raise Refused("BAD_MESSAGE") from None
    length, rest = read_uvarint(inside)
    if length > min(65536, len(rest)):
        raise Refused("BAD_MESSAGE")
    try:
        content = jcs.parse(rest[:length])
    except jcs.Bad:
        raise Refused("BAD_MESSAGE") from None
    if not isinstance(content, dict):
        raise Refused("BAD_MESSAGE")
    check_attachment(content, rest[length:])
    return content, rest[length:]

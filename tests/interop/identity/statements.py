"""Rotation chains and revocations in Python, from docs/protocol.md (7) alone: no code shared with the C++, no Protocol Buffers library."""
import hashlib

from fields import BYTES, NUMBER, field, uvarint
from strict_ed25519 import Refused, is_public_key, public_key, sign, verify

INCEPTION = b"dotagent inception v1\0"
ROTATION = b"dotagent rotation v1\0"
ACCEPT = b"dotagent rotation accept v1\0"
REVOCATION = b"dotagent revocation v1\0"
MINUTE_MS = 60 * 1000
# What is beside the form wherever it is put in: fields that there are not, or not there, and half ones.
EXTRA = [b"\x2a\x00", b"\x32\x01x", b"\x28\x01", b"\x0a\x00", b"\x80\x00", b"\x07", b"\x00", b"\xff" * 9, b"\x0b\x0c", b"\xfa\x01\x01x"]


def require(condition, reason="BAD_STATEMENT"):
    if not condition:
        raise Refused(reason)


def sha256(data):
    return hashlib.sha256(data).digest()


# The form.


def read_uvarint(data):
    """(value, the rest)"""
    value = 0
    for i, byte in enumerate(data[:9]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            require(byte or not i)
            return value, data[i + 1:]
    raise Refused("BAD_STATEMENT")


def read_bytes(data):
    size, data = read_uvarint(data)
    require(size <= len(data))
    return data[:size], data[size:]


def parse(data, *types):
    """The values of fields 1, 2, 3 …, of these wire types: each absent (then empty or 0) or once, in order, and nothing else."""
    values = []
    for number, wire_type in enumerate(types, 1):
        value = b"" if wire_type == BYTES else 0
        if data[:1] == bytes([number << 3 | wire_type]):
            value, data = read_bytes(data[1:]) if wire_type == BYTES else read_uvarint(data[1:])
            require(value)
        values.append(value)
    require(not data)
    return values


def parse_statement(data):
    """payload, signer's key, signature, successor's signature"""
    return parse(data, BYTES, BYTES, BYTES, BYTES)


def split(chain):
    require(len(chain) <= 16384, "TOO_LARGE")
    statements = []
    while chain:
        require(chain[0] == 1 << 3 | BYTES)
        statement, chain = read_bytes(chain[1:])
        statements.append(statement)
    return statements


def join(statements):
    return b"".join(bytes([1 << 3 | BYTES]) + uvarint(len(statement)) + statement for statement in statements)


def check_date(date_ms, now_ms):
    require(0 < date_ms <= now_ms + 5 * MINUTE_MS)


def check_signer(statement, context):
    """The payload and its signer, of a statement with one signature."""
    payload, key, signature, successor = parse_statement(statement)
    require(not successor and is_public_key(key))
    verify(key, context + payload, signature)
    return payload, key


# Rotation chains.


class Chain:
    """A valid one: its AgentId, keys, digests, and to which key it commits."""

    def __init__(self, inception, now_ms):
        payload, key = check_signer(inception, INCEPTION)
        named, self.commitment, self.date_ms = parse(payload, BYTES, BYTES, NUMBER)
        require(named == key and len(self.commitment) == 32)
        check_date(self.date_ms, now_ms)
        self.agent, self.keys, self.digests = sha256(key), [key], [sha256(INCEPTION + payload)]

    def append(self, rotation, now_ms):
        payload, signer, signature, successor_signature = parse_statement(rotation)
        require(signer == self.keys[-1])
        verify(signer, ROTATION + payload, signature)
        agent, sequence, previous, key, commitment, date_ms = parse(payload, BYTES, NUMBER, BYTES, BYTES, BYTES, NUMBER)
        require(agent == self.agent and sequence == len(self.keys) and previous == self.digests[-1])
        require(sha256(key) == self.commitment and len(commitment) == 32)
        require(is_public_key(key) and key not in self.keys)
        verify(key, ACCEPT + payload, successor_signature)
        check_date(date_ms, now_ms)
        require(date_ms >= self.date_ms)
        self.keys.append(key)
        self.digests.append(sha256(ROTATION + payload))
        self.commitment, self.date_ms = commitment, date_ms

    def succeeds(self, successor, key):
        if key not in self.keys:
            return False
        after = self.keys.index(key) + 1
        return self.keys[after] == successor if after < len(self.keys) else sha256(successor) == self.commitment


def check_chain(data, now_ms):
    statements = split(data)
    require(statements)
    require(len(statements) <= 48, "TOO_LARGE")
    require(all(len(statement) <= 320 for statement in statements), "TOO_LARGE")
    chain = Chain(statements[0], now_ms)
    for statement in statements[1:]:
        chain.append(statement, now_ms)
    return chain


def compare(a, b):
    if a.agent != b.agent:
        return "strangers"
    both = min(len(a.digests), len(b.digests))
    if a.digests[:both] != b.digests[:both]:
        return "fork"
    if len(a.digests) == len(b.digests):
        return "same"
    return "older" if len(a.digests) == both else "newer"


# Revocations.


def check_revocation(statement, chain, registrars, now_ms):
    """(AgentId, revoked key, by whom); `chain`: a valid one that the reader knows, or None."""
    require(len(statement) <= 1024)
    payload, signer = check_signer(statement, REVOCATION)
    agent, key, reason, date_ms = parse(payload, BYTES, BYTES, BYTES, NUMBER)
    try:
        reason.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("BAD_STATEMENT") from None
    require(len(agent) == 32 and is_public_key(key) and len(reason) <= 256)
    check_date(date_ms, now_ms)
    if chain and chain.agent != agent:
        chain = None
    require(sha256(key) == agent or (chain and key in chain.keys))
    if signer == key:
        return agent, key, "itself"
    if chain and chain.succeeds(signer, key):
        return agent, key, "successor"
    require(signer in registrars)
    return agent, key, "registrar"


# Signing.


def statement(context, payload, seed, successor_seed=None, accept=ACCEPT):
    signed = field(1, payload) + field(2, public_key(seed)) + field(3, sign(seed, context + payload))
    return signed + field(4, sign(successor_seed, accept + payload)) if successor_seed else signed


def inception_payload(key, commitment, date_ms):
    return field(1, key) + field(2, commitment) + field(3, date_ms)


def rotation_payload(agent, sequence, previous, key, commitment, date_ms):
    return field(1, agent) + field(2, sequence) + field(3, previous) + field(4, key) + field(5, commitment) + field(6, date_ms)


def revocation_payload(agent, key, reason, date_ms):
    return field(1, agent) + field(2, key) + field(3, reason) + field(4, date_ms)

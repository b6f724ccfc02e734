"""Capability tokens and their revocations in Python, from docs/protocol.md (7, 7.2) alone: no code shared with the C++, no Protocol Buffers library."""
import hashlib
import re

import statements
from fields import BYTES, NUMBER, field, uvarint
from strict_ed25519 import Refused, public_key, sign, verify

CONTEXT = b"dotagent token block v1\0"
REVOCATION_CONTEXT = b"dotagent token revocation v1\0"
DAY_MS = 24 * 3600 * 1000
NAME = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+agent")
SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
ACTION = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")


# The form.


class Reader:
    def __init__(self, data, fields):
        self.data, self.fields = data, fields

    def uvarint(self):
        value = 0
        for i, byte in enumerate(self.data[:9]):
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                if byte == 0 and i:
                    raise Refused("BAD_TOKEN")
                self.data = self.data[i + 1:]
                return value
        raise Refused("TOKEN_CUT" if len(self.data) < 9 else "BAD_TOKEN")

    def at(self, tag):
        if not self.data or self.data[0] != tag:
            return False
        self.data = self.data[1:]
        return True

    def next_bytes(self, number):
        """The next value of a repeated field, or None."""
        if not self.at(number << 3 | 2):
            return None
        size = self.uvarint()
        if size > len(self.data):
            raise Refused("TOKEN_CUT")
        value, self.data = self.data[:size], self.data[size:]
        return value

    def bytes(self, number):
        value = self.next_bytes(number)
        if value == b"":
            raise Refused("BAD_TOKEN")
        return value or b""

    def number(self, number):
        if not self.at(number << 3):
            return 0
        value = self.uvarint()
        if not value:
            raise Refused("BAD_TOKEN")
        return value

    def finish(self):
        if self.data:
            number = self.uvarint() >> 3
            raise Refused("BAD_TOKEN" if 1 <= number <= self.fields else "UNKNOWN_FIELD")


# Blocks.


def require(condition, reason="BAD_TOKEN"):
    if not condition:
        raise Refused(reason)


def check_resource(data):
    require(len(data) <= 512)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise Refused("BAD_TOKEN") from None
    require(text.startswith("agent://"))
    name, slash, path = text[len("agent://"):].partition("/")
    require(len(name) <= 253 and NAME.fullmatch(name))
    if slash:
        segments = path.split("/")
        require(len(segments) <= 16)
        require(all(SEGMENT.fullmatch(segment) and segment not in (".", "..") for segment in segments))
    return text


def covers(wide, narrow):
    return narrow == wide or narrow.startswith(wide + "/")


def check_block(issuer, payload):
    reader = Reader(payload, 9)
    block = {"issuer": reader.bytes(1), "audience": reader.bytes(2), "resource": reader.bytes(3), "actions": []}
    while (action := reader.next_bytes(4)) is not None:
        block["actions"].append(action)
    block |= {"not_before_ms": reader.number(5), "expires_at_ms": reader.number(6), "max_uses": reader.number(7)}
    block |= {"nonce": reader.bytes(8), "previous": reader.bytes(9)}
    reader.finish()
    require(block["issuer"] == issuer)
    require(len(block["audience"]) == 32)
    block["resource"] = check_resource(block["resource"])
    actions = block["actions"]
    require(1 <= len(actions) <= 16)
    require(all(len(action) <= 64 and ACTION.fullmatch(action.decode("latin-1")) for action in actions))
    require(all(a < b for a, b in zip(actions, actions[1:])))
    require(block["not_before_ms"] > 0 and block["expires_at_ms"] <= 253402300799000)
    require(0 < block["expires_at_ms"] - block["not_before_ms"] <= 366 * DAY_MS)
    require(block["max_uses"] <= 1_000_000_000)
    require(len(block["nonce"]) == 16)
    require(len(block["previous"]) in (0, 32))
    return block


def check_link(previous, index, ids):
    if previous == (ids[index - 1] if index else b""):
        return
    if not previous:
        raise Refused("TOKEN_SPLICED")
    if previous in ids:
        raise Refused("TOKEN_REORDERED")
    raise Refused("TOKEN_SPLICED" if index else "TOKEN_CUT")


def check_narrows(block, before):
    require(block["issuer"] == before["audience"], "TOKEN_WIDENED")
    require(covers(before["resource"], block["resource"]), "TOKEN_WIDENED")
    require(set(block["actions"]) <= set(before["actions"]), "TOKEN_WIDENED")
    require(block["not_before_ms"] >= before["not_before_ms"] and block["expires_at_ms"] <= before["expires_at_ms"], "TOKEN_WIDENED")
    require(not before["max_uses"] or 0 < block["max_uses"] <= before["max_uses"], "TOKEN_WIDENED")


def split(token):
    require(len(token) <= 8192, "TOO_LARGE")
    reader, blocks = Reader(token, 1), []
    while (block := reader.next_bytes(1)) is not None:
        require(len(blocks) < 8, "TOO_LARGE")
        blocks.append(block)
    reader.finish()
    require(blocks)
    return blocks


def check_chain(token):
    """The blocks of a valid token, each with its id."""
    envelopes, ids = [], []
    for data in split(token):
        reader = Reader(data, 3)
        payload, key, signature = reader.bytes(1), reader.bytes(2), reader.bytes(3)
        reader.finish()
        require(payload and len(key) == 32 and len(signature) == 64)
        block_id = hashlib.sha256(CONTEXT + payload).digest()
        require(block_id not in ids, "TOKEN_REPLAYED")
        envelopes.append((payload, key, signature))
        ids.append(block_id)
    chain = []
    for index, (payload, key, signature) in enumerate(envelopes):
        verify(key, CONTEXT + payload, signature)
        block = check_block(key, payload)
        check_link(block["previous"], index, ids)
        if index:
            check_narrows(block, chain[-1])
        chain.append(block | {"id": ids[index]})
    return chain


def check_token(token, owner, presenter, resource, action, now_ms):
    chain = check_chain(token)
    last = chain[-1]
    require(chain[0]["issuer"] == owner, "NOT_OWNER")
    require(last["audience"] == presenter, "KEY_MISMATCH")
    require(now_ms >= last["not_before_ms"], "FUTURE_DATED")
    require(now_ms < last["expires_at_ms"], "STALE")
    require(covers(last["resource"], resource) and action in last["actions"], "NOT_COVERED")
    return chain


# Revocations.


def check_revocation(data, now_ms):
    """(the block's id, the signer's key)"""
    require(len(data) <= 512, "TOO_LARGE")
    payload, signer = statements.check_signer(data, REVOCATION_CONTEXT)
    block, reason, date_ms = statements.parse(payload, BYTES, BYTES, NUMBER)
    require(len(block) == 32 and len(reason) <= 256, "BAD_STATEMENT")
    try:
        reason.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("BAD_STATEMENT") from None
    statements.check_date(date_ms, now_ms)
    return block, signer


def check_revocations(chain, keys, revocations):
    """`keys` that are revoked; `revocations`: (block, signer) of each."""
    chains_keys = [block["issuer"] for block in chain] + [chain[-1]["audience"]]
    require(not set(chains_keys) & set(keys), "KEY_REVOKED")
    for at, block in enumerate(chain):
        may = {before["issuer"] for before in chain[:at + 1]}
        require(not any(revoked == block["id"] and signer in may for revoked, signer in revocations), "TOKEN_REVOKED")


def check_token_with(token, owner, presenter, resource, action, now_ms, keys, statements):
    """check_token for who knows of revocations: statements that are none he has not taken."""
    revocations = []
    for data in statements:
        try:
            revocations.append(check_revocation(data, now_ms))
        except Refused:
            pass
    check_revocations(check_chain(token), keys, revocations)
    return check_token(token, owner, presenter, resource, action, now_ms)


# Signing.


def statement(seed, context, payload):
    return field(1, payload) + field(2, public_key(seed)) + field(3, sign(seed, context + payload))


def block_payload(fields):
    """Of a dict as check_block returns it."""
    actions = b"".join(bytes([4 << 3 | 2]) + uvarint(len(action)) + action for action in fields["actions"])
    return (field(1, fields["issuer"]) + field(2, fields["audience"]) + field(3, fields["resource"].encode()) + actions + field(5, fields["not_before_ms"]) +
            field(6, fields["expires_at_ms"]) + field(7, fields["max_uses"]) + field(8, fields["nonce"]) + field(9, fields["previous"]))


def sign_block(seed, fields, previous):
    """(block, id)"""
    payload = block_payload({**fields, "issuer": public_key(seed), "previous": previous})
    return statement(seed, CONTEXT, payload), hashlib.sha256(CONTEXT + payload).digest()


def join(blocks):
    return b"".join(bytes([1 << 3 | 2]) + uvarint(len(block)) + block for block in blocks)


def revocation_payload(block_id, reason, now_ms):
    return field(1, block_id) + field(2, reason) + field(3, now_ms)

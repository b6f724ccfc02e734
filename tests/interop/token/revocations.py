"""Revocations of tokens' blocks, valid and broken in every way, with what both sides must say of them."""
import collections

import tokens
from mixed_order import beside_the_subgroup, sign_beside
from statements import EXTRA, MINUTE_MS
from strict_ed25519 import ORDER, SMALL, Refused, public_key, sign
from tokens import REVOCATION_CONTEXT, field, statement, uvarint
from tool import agree

REASONS = {"TOO_LARGE", "BAD_STATEMENT", "BAD_SIGNATURE"}
TEXTS = ["", "lost", "verloren ü", "x" * 256, "\u20ac" * 85]


class Revocation:
    """A valid one: its fields, from which it is signed."""

    def __init__(self, rng, now):
        self.seed, self.block = rng.randbytes(32), rng.randbytes(32)
        self.reason = rng.choice(TEXTS).encode()
        self.date = rng.choice([1, rng.randint(1, now), now, now + 5 * MINUTE_MS])

    def payload(self):
        return tokens.revocation_payload(self.block, self.reason, self.date)

    def statement(self, context=REVOCATION_CONTEXT):
        return statement(self.seed, context, self.payload())


def verdicts(tool, data, now):
    try:
        ours = True, b"".join(tokens.check_revocation(data, now))
    except Refused as refusal:
        ours = False, refusal.args[0]
    return ours, tool.ask("check-revocation", data, now)


def check_valid(tool, rng, now, rounds):
    for i in range(rounds):
        sample = Revocation(rng, now)
        ours = sample.statement()
        agree((True, ours), tool.ask("revoke", sample.seed, sample.block, sample.reason, sample.date), f"revocation {i}: both sign the same bytes")
        verdict = verdicts(tool, ours, now)
        agree(*verdict, f"revocation {i}")
        agree((True, sample.block + public_key(sample.seed)), verdict[0], f"what revocation {i} says")


# How one is broken. Each takes a sample and returns the bytes.


def damaged(rng, sample, _):
    """A byte or a few are others, none is signed again."""
    data = bytearray(sample.statement())
    at = rng.randrange(len(data))
    how = rng.randint(0, 3)
    if how == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif how == 1:
        del data[at:at + rng.randint(1, 3)]
    elif how == 2:
        data[at:at] = rng.choice(EXTRA)
    else:
        del data[at:]
    return bytes(data)


def changed_field(rng, sample, now):
    """One value is another, and all is signed again."""
    name, values = rng.choice([("block", [b"", rng.randbytes(31), rng.randbytes(33)]), ("reason", [b"x" * 257, b"\xff", b"\xc3", b"\xed\xa0\x80"]),
                               ("date", [0, now + 5 * MINUTE_MS + 1, 2**62])])
    setattr(sample, name, rng.choice(values))
    return sample.statement()


def other_signer(rng, sample, _):
    """Another's key stands beside the signature."""
    payload = sample.payload()
    return field(1, payload) + field(2, public_key(rng.randbytes(32))) + field(3, sign(sample.seed, REVOCATION_CONTEXT + payload))


def other_context(rng, sample, _):
    """Signed as something else: a statement of one kind is none of another."""
    return sample.statement(rng.choice([b"", tokens.CONTEXT, b"dotagent revocation v1\0", REVOCATION_CONTEXT[:-1]]))


def second_signature(_, sample, __):
    """As a rotation has it."""
    return sample.statement() + field(4, sign(sample.seed, sample.payload()))


def too_long(rng, sample, _):
    sample.reason = b"x" * rng.randint(400, 5000)
    return sample.statement()


def weak_signature(rng, sample, _):
    """By a key of small order, for which anyone can sign; or with an S that is not reduced."""
    payload = sample.payload()
    key, signature = public_key(sample.seed), sign(sample.seed, REVOCATION_CONTEXT + payload)
    if rng.random() < 0.5:
        key, signature = rng.choice(sorted(SMALL)), rng.choice(sorted(SMALL)) + bytes(32)
    else:
        signature = signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    return field(1, payload) + field(2, key) + field(3, signature)


def mixed_order_signer(rng, sample, _):
    """By a key beside the subgroup of prime order, which is none here, with a signature that holds."""
    payload, key = sample.payload(), beside_the_subgroup(rng, public_key(sample.seed))
    return field(1, payload) + field(2, key) + field(3, sign_beside(rng, sample.seed, key, REVOCATION_CONTEXT + payload, holds=True))


def other_form(rng, sample, _):
    """Bytes beside the form, in the statement or the payload; the payload is signed as it then is."""
    extra, payload = rng.choice(EXTRA), sample.payload()
    if rng.random() < 0.3:
        return sample.statement() + extra
    at = rng.choice([0, 34, len(payload)])
    return statement(sample.seed, REVOCATION_CONTEXT, payload[:at] + extra + payload[at:])


def long_varint(_, sample, __):
    payload, rest = sample.payload(), sample.statement()[1:]
    size = bytearray(uvarint(len(payload)))
    rest = rest[len(size):]
    size[-1] |= 0x80
    return b"\x0a" + bytes(size) + b"\0" + rest


HOWS = [damaged, damaged, changed_field, changed_field, other_signer, other_context, second_signature, too_long, weak_signature, mixed_order_signer, other_form,
        long_varint]


def check_broken(tool, rng, now, rounds):
    seen, broken = collections.Counter(), collections.Counter()
    while sum(broken.values()) < rounds:
        how = rng.choice(HOWS)
        data = how(rng, Revocation(rng, now), now)
        ours, theirs = verdicts(tool, data, now)
        agree(ours, theirs, f"{how.__name__}: {data.hex()}")
        if ours[0]:
            continue  # the change happens to be allowed
        broken[how.__name__] += 1
        seen[ours[1]] += 1
    agree(set(seen), REASONS, "the reasons that came up")
    agree(set(broken), {how.__name__ for how in HOWS}, "the ways in which revocations were broken")
    return seen

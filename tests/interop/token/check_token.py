#!/usr/bin/python3
"""Compares the C++ capability tokens (through token_tool) with an independent implementation, tokens.py.

usage: check_token.py TOKEN_TOOL [SEED [CORPUS_FOLDER]]

What either side signs the other must accept, byte for byte the same; what is broken, both must refuse for the same
reason. 1,000 tokens of each, 1,000 revocations of blocks of each (revocations.py), and 1,000 tokens with revocations of keys and blocks (revoked.py), from the seed. With a folder, one broken token for each reason is left there, for the fuzzer.
"""
import collections
import hashlib
import pathlib
import random
import sys

INTEROP = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(INTEROP), str(INTEROP / "identity")]
import revocations
import revoked
import tokens
from mixed_order import beside_the_subgroup, sign_beside
from strict_ed25519 import ORDER, SMALL, Refused, public_key
from tokens import DAY_MS, field, join, sign_block, split, uvarint
from tool import Tool, agree

NOW = 1795435200000  # 2026-11-23T12:00:00Z, in milliseconds
ROUNDS = 1000
ACTIONS = [b"read", b"write", b"call", b"list-all", b"a", b"x.y_z", b"0"]
# Every reason that a token can be refused for must come up, or the comparison says little.
REASONS = {"TOO_LARGE", "BAD_TOKEN", "UNKNOWN_FIELD", "BAD_SIGNATURE", "TOKEN_CUT", "TOKEN_SPLICED", "TOKEN_REORDERED", "TOKEN_REPLAYED",
           "TOKEN_WIDENED", "NOT_OWNER", "KEY_MISMATCH", "FUTURE_DATED", "STALE", "NOT_COVERED"}


class Sample:
    """A valid token and a question to which the answer is yes."""

    def __init__(self, rng, blocks=None):
        self.rng = rng
        count = blocks or rng.randint(1, 8)
        self.seeds = [rng.randbytes(32) for _ in range(count + 1)]  # seeds[i] signs block i, and is the audience of block i - 1
        self.fields = [self.root()]
        while len(self.fields) < count:
            self.fields.append(self.narrowed(self.fields[-1]))
        for i, fields in enumerate(self.fields):
            fields["audience"] = public_key(self.seeds[i + 1])
        self.resource = self.fields[-1]["resource"] + rng.choice(["", "/x", "/a/b"])
        self.action = rng.choice(self.fields[-1]["actions"])
        self.now = rng.choice([self.fields[-1]["not_before_ms"], self.fields[-1]["expires_at_ms"] - 1, NOW])

    def root(self):
        rng = self.rng
        path = "".join("/" + "".join(rng.choices("abcXYZ019-._~", k=rng.randint(3, 9))) for _ in range(rng.randint(0, 3)))
        return {"resource": f"agent://{rng.choice(['bob', 'a.b-c', '0'])}.agent{path}", "actions": sorted(rng.sample(ACTIONS, rng.randint(1, 6))),
                "not_before_ms": NOW - rng.randint(0, 100 * DAY_MS), "expires_at_ms": NOW + rng.randint(1, 200 * DAY_MS),
                "max_uses": rng.choice([0, 1, 127, 128, 10**9]), "nonce": rng.randbytes(16)}

    def narrowed(self, before):
        rng = self.rng
        uses = before["max_uses"]
        return {"resource": before["resource"] + rng.choice(["", "", "/n", "/Deep.er"]),
                "actions": sorted(rng.sample(before["actions"], rng.randint(1, len(before["actions"])))),
                "not_before_ms": rng.randint(before["not_before_ms"], NOW), "expires_at_ms": rng.randint(NOW + 1, before["expires_at_ms"]),
                "max_uses": rng.randint(1, uses) if uses else rng.choice([0, 5]), "nonce": rng.randbytes(16)}

    def blocks(self):
        out, previous = [], b""
        for seed, fields in zip(self.seeds, self.fields):
            block, previous = sign_block(seed, fields, fields.get("previous", previous))
            out.append(block)
        return out

    def question(self):
        return [self.now, public_key(self.seeds[0]), public_key(self.seeds[-1]), self.resource, self.action]


def verdicts(tool, question, token):
    now, owner, presenter, resource, action = question
    try:
        ours = True, tokens.check_token(token, owner, presenter, resource, action, now)[-1]["id"]
    except Refused as refusal:
        ours = False, refusal.args[0]
    return ours, tool.ask("verify", now, owner, presenter, resource, action, token)


def check_valid(tool, rng):
    for i in range(ROUNDS):
        sample = Sample(rng)
        ours = join(sample.blocks())
        theirs = b""
        for seed, fields in zip(sample.seeds, sample.fields):
            taken, theirs = tool.ask("sign", seed, theirs, fields["audience"], fields["resource"], b",".join(fields["actions"]),
                                     fields["not_before_ms"], fields["expires_at_ms"], fields["max_uses"], fields["nonce"])
            assert taken, f"C++ will not sign block of token {i}: {theirs}"
        agree(ours, theirs, f"token {i}: both sides sign the same bytes")
        verdict = verdicts(tool, sample.question(), ours)
        agree(*verdict, f"token {i}")
        assert verdict[0][0], f"valid token {i} is refused: {verdict[0][1]}"


# How a token is broken. Each takes a sample and returns its question and the token.


def moved_blocks(rng, sample):
    blocks = sample.blocks()
    how = rng.randint(0, 6)
    if how == 0:
        blocks = blocks[rng.randint(1, len(blocks)):] or [b""]
    elif how == 1:
        del blocks[rng.randrange(len(blocks))]
    elif how == 2:
        rng.shuffle(blocks)
    elif how == 3:
        blocks.insert(rng.randint(0, len(blocks)), rng.choice(blocks))
    elif how == 4:
        blocks[rng.randrange(len(blocks))] = rng.choice(Sample(rng).blocks())
    elif how == 5:
        blocks += Sample(rng).blocks()
    else:
        blocks *= rng.choice([2, 50, 10_000 // len(blocks)])
    return sample.question(), join(blocks)


def changed_field(rng, sample):
    """One value is another, and all is signed again."""
    i = rng.randrange(len(sample.fields))
    fields = sample.fields[i]
    name = rng.choice(list(fields) + ["previous"])
    values = {
        "audience": [b"", rng.randbytes(31), rng.randbytes(32), rng.randbytes(33)],
        "resource": ["", "agent://bob.agent", "agent://eve.agent/x", "agent://Bob.agent", "bob.agent", "agent://bob.agent/", "agent://bob.agent//x",
                     "agent://bob.agent/../x", "agent://bob.agent/%41", "agent://bob.agent" + "/x" * 17, "agent://bob.agent/" + "x" * 495,
                     "agent://bob.agent/\u00e9", fields["resource"] + "s", fields["resource"][:-1], "agent://" + "a" * 64 + ".agent"],
        "actions": [[], [b""], [b"Read"], [b"read", b"read"], [b"write", b"read"], [b"-a"], [b"a."], [b"a" * 65], [b"\xff"], sorted(ACTIONS + [b"admin"]),
                    [b"x%02d" % n for n in range(17)], [b"x"] * 900],
        "not_before_ms": [0, 1, fields["not_before_ms"] - 1, NOW + 1, fields["expires_at_ms"]],
        "expires_at_ms": [0, fields["expires_at_ms"] + 1, NOW, fields["not_before_ms"] + 366 * DAY_MS + 1, 253402300799001, 2**62],
        "max_uses": [0, fields["max_uses"] + 1, 10**9 + 1, 2**62],
        "nonce": [b"", rng.randbytes(15), rng.randbytes(17)],
        "previous": [b"", rng.randbytes(32), rng.randbytes(31)],
    }
    fields[name] = rng.choice(values[name])
    return sample.question(), join(sample.blocks())


def other_signer(rng, sample):
    sample.seeds[rng.randrange(len(sample.seeds))] = rng.randbytes(32)
    return sample.question(), join(sample.blocks())


def other_question(rng, sample):
    token, question = join(sample.blocks()), sample.question()
    last = sample.fields[-1]
    changes = [(0, last["not_before_ms"] - 1), (0, last["expires_at_ms"]), (1, rng.randbytes(32)), (2, question[1]), (2, rng.randbytes(32)),
               (3, "agent://bob.agent"), (3, last["resource"][:-1] + "~/x" if last["resource"].count("/") > 2 else "agent://eve.agent/x"), (4, b"admin")]
    at, value = rng.choice(changes)
    question[at] = value
    return question, token


def damaged(rng, sample):
    """A byte or a few are others, none is signed again."""
    token = bytearray(join(sample.blocks()))
    at = rng.randrange(len(token))
    how = rng.randint(0, 3)
    if how == 0:
        token[at] ^= 1 << rng.randrange(8)
    elif how == 1:
        del token[at:at + rng.randint(1, 3)]
    elif how == 2:
        token[at:at] = rng.choice([b"\0", b"\x0a", b"\x52\x01x", b"\x80\x00", rng.randbytes(3)])
    else:
        del token[at:]
    return sample.question(), bytes(token)


def other_form(rng, sample):
    """Bytes beside the form, in the token, a block or a payload; the payload is signed as it then is."""
    extra = rng.choice([b"\x50\x01", b"\x52\x01x", b"\x82\x01\x00", b"\x0b\x0c", b"\x38\x01", b"\x38\x00", b"\x42\x00", b"\x0a", b"\xff" * 9, b"\x80\x00",
                        b"\x22\x00", b"\x07", b"\x00", field(9, rng.randbytes(32)), field(4, rng.randbytes(64))])
    blocks, i = sample.blocks(), rng.randrange(len(sample.fields))
    how = rng.randint(0, 3)
    if how == 0:
        return sample.question(), join(blocks) + extra
    if how == 1:
        blocks[i] += extra
        return sample.question(), join(blocks)
    reader = tokens.Reader(blocks[i], 3)
    payload = reader.bytes(1)
    at = rng.choice([len(payload), 34, 68])
    payload = payload[:at] + (extra if how == 2 else extra + payload[at:])
    blocks[i] = tokens.statement(sample.seeds[i], tokens.CONTEXT, payload)
    return sample.question(), join(blocks)


def long_varint(_, sample):
    blocks = sample.blocks()
    size = bytearray(uvarint(len(blocks[0])))
    size[-1] |= 0x80
    return sample.question(), b"\x0a" + bytes(size) + b"\0" + blocks[0] + join(blocks[1:])


def weak_key(rng, sample):
    """Signed "by" a key of small order, for which anyone can sign; or with an S that is not reduced."""
    blocks, i = sample.blocks(), rng.randrange(len(sample.fields))
    reader = tokens.Reader(blocks[i], 3)
    payload, key, signature = reader.bytes(1), reader.bytes(2), reader.bytes(3)
    if rng.random() < 0.5:
        key = rng.choice(sorted(SMALL))
        signature = rng.choice(sorted(SMALL)) + bytes(32)
    else:
        signature = signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    blocks[i] = field(1, payload) + field(2, key) + field(3, signature)
    return sample.question(), join(blocks)


def mixed_order_key(rng, sample):
    """Signed by a key beside the subgroup of prime order, which is allowed here: by a signature that holds without the cofactor, or only with it."""
    i, holds = rng.randrange(len(sample.fields)), rng.random() < 0.3
    key = beside_the_subgroup(rng, public_key(sample.seeds[i]))
    question = sample.question()
    if i:
        sample.fields[i - 1]["audience"] = key
    else:
        question[1] = key
    blocks, previous = [], b""
    for at, (seed, fields) in enumerate(zip(sample.seeds, sample.fields)):
        if at != i:
            block, previous = sign_block(seed, fields, previous)
        else:
            message = tokens.CONTEXT + tokens.block_payload({**fields, "issuer": key, "previous": previous})
            block = field(1, message[len(tokens.CONTEXT):]) + field(2, key) + field(3, sign_beside(rng, seed, key, message, holds))
            previous = hashlib.sha256(message).digest()
        blocks.append(block)
    return question, join(blocks)


def check_broken(tool, rng, corpus):
    seen, broken, mixed = collections.Counter(), 0, collections.Counter()
    hows = [moved_blocks, changed_field, changed_field, changed_field, other_signer, other_question, damaged, other_form, other_form, long_varint, weak_key, mixed_order_key]
    while broken < ROUNDS:
        how = rng.choice(hows)
        question, token = how(rng, Sample(rng, rng.randint(1, 4)))
        ours, theirs = verdicts(tool, question, token)
        agree(ours, theirs, f"{how.__name__}, {question}: {token.hex()}")
        if how == mixed_order_key:
            mixed["OK" if ours[0] else ours[1]] += 1
        if ours[0]:
            continue  # the change happens to be allowed
        broken += 1
        seen[ours[1]] += 1
        if corpus and seen[ours[1]] == 1 and len(token) <= 8192:
            (corpus / ours[1].lower()).write_bytes(token)
    agree(set(seen), REASONS, "the reasons that came up")
    agree(set(mixed), {"OK", "BAD_SIGNATURE"}, "what became of keys beside the subgroup")
    return seen


def split_agrees(rng):
    """split and join are each other's inverse, so that what `join` makes is a token's form."""
    blocks = Sample(rng).blocks()
    assert split(join(blocks)) == blocks


def main():
    tool, rng = Tool(sys.argv[1]), random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    split_agrees(rng)
    check_valid(tool, rng)
    seen = check_broken(tool, rng, pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None)
    revocations.check_valid(tool, rng, NOW, ROUNDS)
    seen_of_revocations = revocations.check_broken(tool, rng, NOW, ROUNDS)
    with_revocations = revoked.check(tool, rng, ROUNDS, lambda: Sample(rng, rng.randint(1, 4)), other_question)
    for what, whys in (("tokens", seen), ("revocations", seen_of_revocations)):
        print(f"{ROUNDS} valid and {ROUNDS} broken {what}: both sides agree. Refused: {', '.join(f'{why} {count}' for why, count in sorted(whys.items()))}")
    print(f"{ROUNDS} tokens of which something may be revoked: both sides agree. {', '.join(f'{why} {count}' for why, count in sorted(with_revocations.items()))}")


if __name__ == "__main__":
    main()

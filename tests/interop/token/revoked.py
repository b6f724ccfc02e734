"""Tokens of which keys and blocks are revoked, by those who may and by those who may not, with what both sides must say of them."""
import collections

import tokens
from revocations import Revocation
from strict_ed25519 import Refused, public_key
from tokens import join
from tool import agree

# What both must come to, each at least once.
VERDICTS = {"OK", "KEY_REVOKED", "TOKEN_REVOKED", "NOT_OWNER", "KEY_MISMATCH", "FUTURE_DATED", "STALE", "NOT_COVERED"}


def statement(rng, sample, ids, now):
    """A revocation of a block of this token or of another, signed by whoever it may be; some are none."""
    revocation, at = Revocation(rng, now), rng.randrange(len(ids))
    revocation.block = rng.choice([ids[at]] * 8 + [rng.randbytes(32)])
    # sample.seeds[i] signs block i; one behind `at` may not, nor may the last one's audience, nor a stranger.
    revocation.seed = rng.choice([sample.seeds[rng.randint(0, at)], rng.choice(sample.seeds), rng.choice(sample.seeds[at + 1:]), rng.randbytes(32)])
    if rng.random() < 0.1:
        revocation.date = now + 3600 * 1000
    data = revocation.statement()
    return bytes([data[0] ^ 1]) + data[1:] if rng.random() < 0.1 else data


def revoked_keys(rng, sample):
    """Mostly none: those of strangers, of the last audience, of issuers."""
    return rng.choice([[], [], [], [rng.randbytes(32)], [public_key(rng.choice(sample.seeds)), public_key(rng.randbytes(32))]])


def verdicts(tool, question, token, keys, statements):
    now, owner, presenter, resource, action = question
    try:
        ours = True, tokens.check_token_with(token, owner, presenter, resource, action, now, keys, statements)[-1]["id"]
    except Refused as refusal:
        ours = False, refusal.args[0]
    return ours, tool.ask("verify-with", now, owner, presenter, resource, action, token, b"".join(keys), *statements)


def check(tool, rng, rounds, make_sample, other_question):
    seen = collections.Counter()
    for _ in range(rounds):
        sample = make_sample()
        blocks = sample.blocks()
        ids = [block["id"] for block in tokens.check_chain(join(blocks))]
        question, token = other_question(rng, sample) if rng.random() < 0.3 else (sample.question(), join(blocks))
        keys = revoked_keys(rng, sample)
        statements = [statement(rng, sample, ids, question[0]) for _ in range(rng.randint(0, 3))]
        ours, theirs = verdicts(tool, question, token, keys, statements)
        agree(ours, theirs, f"{question}, {[key.hex() for key in keys]}, {[data.hex() for data in statements]}: {token.hex()}")
        seen["OK" if ours[0] else ours[1]] += 1
    agree(set(seen), VERDICTS, "the verdicts that came up")
    return seen

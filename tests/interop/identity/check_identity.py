#!/usr/bin/python3
"""Compares the C++ rotation chains and revocations (through identity_tool) with an independent implementation, statements.py.

usage: check_identity.py IDENTITY_TOOL [SEED]

What either side signs the other must accept, byte for byte the same; what is broken, both must refuse for the same
reason. 1,000 of each kind, from the seed.
"""
import collections
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import statements
from mixed_order import beside_the_subgroup
from statements import EXTRA, INCEPTION, MINUTE_MS, REVOCATION, ROTATION, field, join, sha256, split
from strict_ed25519 import ORDER, SMALL, Refused, public_key
from tool import Tool, agree

NOW = 1795435200000  # 2026-11-23T12:00:00Z, in milliseconds
ROUNDS = 1000
MAX_ROTATIONS = 47
REASONS = {"BAD_STATEMENT", "BAD_SIGNATURE", "TOO_LARGE"}


class Sample:
    """An identity: its seeds, and its chain's fields, from which it is signed."""

    def __init__(self, rng, pool, rotations=None):
        self.rng = rng
        if rotations is None:
            rotations = rng.choice([0, 1, 1, 2, 3, 4, 5, rng.randint(6, 12)])
        self.seeds = rng.sample(pool, rotations + 2)
        self.dates = sorted(rng.randint(1, NOW + 5 * MINUTE_MS) for _ in range(rotations + 1))
        self.agent = sha256(public_key(self.seeds[0]))

    def key(self, i):
        return public_key(self.seeds[i])

    def chain_statements(self, changes=None):
        """`changes` gives other values for the payload or signature of one statement: {index: {field: value}}."""
        out, digest = [], b""
        for i, date in enumerate(self.dates):
            change = (changes or {}).get(i, {})
            commitment = change.get("commitment", sha256(self.key(i + 1)))
            date = change.get("date", date)
            if i == 0:
                payload = statements.inception_payload(change.get("key", self.key(0)), commitment, date)
                signed = statements.statement(change.get("context", INCEPTION), payload, change.get("seed", self.seeds[0]), change.get("successor"))
            else:
                payload = statements.rotation_payload(change.get("agent", self.agent), change.get("sequence", i), change.get("previous", digest),
                                                      change.get("key", self.key(i)), commitment, date)
                signed = statements.statement(change.get("context", ROTATION), payload, change.get("seed", self.seeds[i - 1]),
                                              change.get("successor", self.seeds[i]), change.get("accept", statements.ACCEPT))
            digest = sha256((ROTATION if i else INCEPTION) + payload)
            out.append(signed)
        return out

    def chain(self):
        return join(self.chain_statements())


def verdicts(tool, command, check, *words):
    try:
        ours = True, check()
    except Refused as refusal:
        ours = False, refusal.args[0]
    return ours, tool.ask(command, *words)


def chain_verdicts(tool, chain):
    def check():
        known = statements.check_chain(chain, NOW)
        return known.agent + known.keys[-1] + known.commitment + known.digests[-1]

    return verdicts(tool, "chain", check, chain, NOW)


def check_valid_chains(tool, rng, pool):
    for i in range(ROUNDS):
        sample = Sample(rng, pool, MAX_ROTATIONS if i == 0 else None)
        ours = sample.chain()
        taken, theirs = tool.ask("incept", sample.seeds[0], sample.key(1), sample.dates[0])
        assert taken, f"C++ will not sign inception {i}: {theirs}"
        theirs = join([theirs])
        for at, date in enumerate(sample.dates[1:], 1):
            taken, theirs = tool.ask("rotate", theirs, sample.seeds[at - 1], sample.seeds[at], sample.key(at + 1), date)
            assert taken, f"C++ will not sign rotation {at} of chain {i}: {theirs}"
        agree(ours, theirs, f"chain {i}: both sides sign the same bytes")
        verdict = chain_verdicts(tool, ours)
        agree(*verdict, f"chain {i}")
        assert verdict[0][0], f"valid chain {i} is refused: {verdict[0][1]}"


# How a chain is broken. Each takes a sample and returns the bytes.


def damaged(rng, data):
    """A byte or a few are others, none is signed again."""
    data = bytearray(data)
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


def damaged_chain(rng, sample, _):
    return damaged(rng, sample.chain())


def moved(rng, sample, pool):
    """Cut, reordered, spliced, repeated."""
    chain, other = sample.chain_statements(), Sample(rng, pool).chain_statements()
    at = rng.randrange(len(chain))
    how = rng.randint(0, 6)
    if how == 0:
        chain = chain[rng.randint(1, len(chain)):]
    elif how == 1:
        del chain[at]
    elif how == 2:
        rng.shuffle(chain)
    elif how == 3:
        chain.insert(rng.randint(0, len(chain)), rng.choice(chain))
    elif how == 4:
        chain[at] = rng.choice(other)
    elif how == 5:
        chain += other
    else:
        chain *= rng.choice([2, 49, 10_000])
    return join(chain)


def changed_field(rng, sample, pool):
    """One value is another, and all is signed again."""
    at = rng.randrange(len(sample.dates))
    values = {
        "commitment": [b"", rng.randbytes(31), rng.randbytes(33), sha256(sample.key(0)), rng.randbytes(32)],
        "date": [0, sample.dates[at - 1] - 1 if at else 0, NOW + 5 * MINUTE_MS + 1, 2**62],
        "key": [b"", public_key(rng.choice(pool)), rng.randbytes(31), rng.choice(sample.seeds)],
    }
    if at:
        values |= {"agent": [b"", rng.randbytes(32), sha256(sample.key(at))], "sequence": [0, at - 1, at + 1, 2**32 + at, 2**62],
                   "previous": [b"", rng.randbytes(32), rng.randbytes(31)]}
    name = rng.choice(list(values))
    return join(sample.chain_statements({at: {name: rng.choice(values[name])}}))


def other_signer(rng, sample, pool):
    """A thief of one key only; signatures left out or in the wrong place."""
    at, thief = rng.randrange(len(sample.dates)), rng.choice(pool)
    changes = [{"seed": thief}, {"successor": thief}, {"seed": sample.seeds[at]}, {"successor": None if at else thief}]
    return join(sample.chain_statements({at: rng.choice(changes)}))


def other_context(rng, sample, _):
    """Another version, or another kind of statement."""
    at = rng.randrange(len(sample.dates))
    context = rng.choice([b"dotagent inception v2\0", b"dotagent rotation v2\0", b"dotagent rotation v0\0", REVOCATION, b"", INCEPTION if at else ROTATION])
    return join(sample.chain_statements({at: {rng.choice(["context", "accept"]) if at else "context": context}}))


def uncommitted_key(rng, sample, pool):
    """A rotation to a key that the identity has not committed to, by who holds the current one; right in everything else."""
    chain, thief = sample.chain_statements(), rng.choice([seed for seed in pool if seed not in sample.seeds])
    digest = sha256((ROTATION if len(chain) > 1 else INCEPTION) + statements.parse_statement(chain[-1])[0])
    payload = statements.rotation_payload(sample.agent, len(chain), digest, public_key(thief), rng.randbytes(32), NOW + 5 * MINUTE_MS)
    return join(chain + [statements.statement(ROTATION, payload, sample.seeds[-2], thief)])


def reused_key(rng, sample, _):
    """The identity commits to a key that it has had, and rotates to it."""
    sample.seeds[-1] = rng.choice(sample.seeds[:-1])
    sample.seeds.append(rng.randbytes(32))
    sample.dates.append(NOW + 5 * MINUTE_MS)
    return sample.chain()


def weak(rng, payload, seed, signature):
    """Signed "by" a key of small order, for which anyone can sign; with an S that is not reduced; or by a key beside the subgroup."""
    key = public_key(seed)
    how = rng.randint(0, 2)
    if how == 0:
        key, signature = rng.choice(sorted(SMALL)), rng.choice(sorted(SMALL)) + bytes(32)
    elif how == 1:
        signature = signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    else:
        key = beside_the_subgroup(rng, key)
    return field(1, payload) + field(2, key) + field(3, signature)


def weak_inception(rng, sample, _):
    key = public_key(sample.seeds[0])
    payload = statements.inception_payload(key, sha256(sample.key(1)), NOW)
    _, _, signature, _ = statements.parse_statement(sample.chain_statements()[0])
    return join([weak(rng, payload, sample.seeds[0], signature)])


def weak_new_key(rng, sample, _):
    """Committed to, and of no use: not a point of prime order."""
    key = rng.choice([beside_the_subgroup(rng, sample.key(1)), rng.choice(sorted(SMALL)), b"\xff" * 32])
    sample.dates = sample.dates[:1]
    first = sample.chain_statements({0: {"commitment": sha256(key)}})[0]
    digest = sha256(INCEPTION + statements.parse_statement(first)[0])
    payload = statements.rotation_payload(sample.agent, 1, digest, key, rng.randbytes(32), NOW)
    return join([first, statements.statement(ROTATION, payload, sample.seeds[0], sample.seeds[1])])


def other_form(rng, sample, _):
    """Bytes beside the form, in the chain, a statement or a payload; the payload is signed as it then is."""
    extra, chain = rng.choice(EXTRA), sample.chain_statements()
    at, how = rng.randrange(len(chain)), rng.randint(0, 3)
    if how == 0:
        return join(chain) + extra
    if how == 1:
        chain[at] += extra
    else:
        payload = statements.parse_statement(chain[at])[0]
        where = rng.choice([len(payload), 34])
        payload = payload[:where] + extra + payload[where if how == 2 else where + 2:]
        context, old = (ROTATION, sample.seeds[at - 1]) if at else (INCEPTION, sample.seeds[0])
        chain[at] = statements.statement(context, payload, old, sample.seeds[at] if at else None)
    return join(chain)


def long_varint(rng, sample, _):
    chain = sample.chain_statements()
    at = rng.randrange(len(chain))
    size = bytearray(statements.uvarint(len(chain[at])))
    size[-1] |= 0x80
    return join(chain[:at]) + b"\x0a" + bytes(size) + b"\0" + chain[at] + join(chain[at + 1:])


def check_broken_chains(tool, rng, pool):
    seen, broken = collections.Counter(), collections.Counter()
    hows = [damaged_chain, moved, changed_field, changed_field, other_signer, other_context, uncommitted_key, reused_key, weak_inception, weak_new_key,
            other_form, long_varint]
    while sum(broken.values()) < ROUNDS:
        how = rng.choice(hows)
        chain = how(rng, Sample(rng, pool, rng.randint(0, 5)), pool)
        ours, theirs = chain_verdicts(tool, chain)
        agree(ours, theirs, f"{how.__name__}: {chain.hex()}")
        if ours[0]:
            continue  # the change happens to be allowed
        broken[how.__name__] += 1
        seen[ours[1]] += 1
    agree(set(seen), REASONS, "the reasons that came up")
    agree(set(broken), {how.__name__ for how in hows}, "the ways in which chains were broken")
    return seen


def check_relations(tool, rng, pool):
    """Beginnings of a chain, forks at every depth, and strangers."""
    seen = collections.Counter()
    for _ in range(ROUNDS):
        sample = Sample(rng, pool, rng.randint(0, 5))
        a = sample.chain_statements()[:rng.randint(1, len(sample.dates))]
        how = rng.randint(0, 3)
        if how == 0:  # a fork: from there on, other keys or only other dates
            at = rng.randrange(len(sample.dates))
            if rng.random() < 0.5:
                sample.dates[at] += 1
                sample.dates[at + 1:] = [max(date, sample.dates[at]) for date in sample.dates[at + 1:]]
            else:
                rest = [seed for seed in pool if seed not in sample.seeds]
                sample.seeds[at + 1:] = rng.sample(rest, len(sample.seeds) - at - 1)
            if max(sample.dates) > NOW + 5 * MINUTE_MS:
                continue
        elif how == 1:
            sample = Sample(rng, pool, rng.randint(0, 3))
        b = sample.chain_statements()[:rng.randint(1, len(sample.dates))]
        ours = statements.compare(statements.check_chain(join(a), NOW), statements.check_chain(join(b), NOW))
        agree((True, ours.encode()), tool.ask("compare", join(a), join(b), NOW), f"{join(a).hex()} {join(b).hex()}")
        seen[ours] += 1
    agree(set(seen), {"same", "older", "newer", "fork", "strangers"}, "the relations that came up")
    return seen


# Revocations.


class Revoked:
    """A valid revocation: what is signed, by whom, and what its reader knows."""

    def __init__(self, rng, pool):
        self.rng = rng
        self.identity = identity = Sample(rng, pool, rng.randint(0, 4))
        at = rng.randrange(len(identity.dates))
        self.by = rng.choice(["itself", "successor", "registrar"])
        self.registrar = rng.choice([seed for seed in pool if seed not in identity.seeds])
        self.seed = {"itself": identity.seeds[at], "successor": identity.seeds[at + 1], "registrar": self.registrar}[self.by]
        self.key, self.agent = identity.key(at), identity.agent
        self.reason, self.date = rng.choice([b"", b"lost", "gestohlen ü €".encode(), b"x" * 256]), rng.randint(1, NOW + 5 * MINUTE_MS)
        needs_chain = at > 0 or self.by == "successor"
        self.chain = identity.chain() if needs_chain or rng.random() < 0.3 else b""

    def statement(self, context=REVOCATION):
        return statements.statement(context, statements.revocation_payload(self.agent, self.key, self.reason, self.date), self.seed)

    def verdicts(self, tool, statement):
        def check():
            chain = statements.check_chain(self.chain, NOW) if self.chain else None
            registrars = [public_key(self.registrar)] if self.registrar else []
            agent, key, by = statements.check_revocation(statement, chain, registrars, NOW)
            return agent + key + by.encode()

        registrar = public_key(self.registrar) if self.registrar else b""
        return verdicts(tool, "check-revocation", check, statement, self.chain, registrar, NOW)


def check_valid_revocations(tool, rng, pool):
    by = collections.Counter()
    for i in range(ROUNDS):
        sample = Revoked(rng, pool)
        ours = sample.statement()
        agree((True, ours), tool.ask("revoke", sample.seed, sample.agent, sample.key, sample.reason, sample.date), f"revocation {i}: both sign the same bytes")
        verdict = sample.verdicts(tool, ours)
        agree(*verdict, f"revocation {i}")
        agree(verdict[0], (True, sample.agent + sample.key + sample.by.encode()), f"revocation {i} is taken for what it is")
        by[sample.by] += 1
    return by


def damaged_revocation(rng, sample, _):
    return damaged(rng, sample.statement())


def changed_revocation(rng, sample, pool):
    name, values = rng.choice([
        ("agent", [b"", rng.randbytes(31), rng.randbytes(32), sha256(public_key(rng.choice(pool)))]),
        ("key", [b"", rng.randbytes(31), public_key(rng.choice(pool)), rng.choice(sorted(SMALL)), b"\xff" * 32, beside_the_subgroup(rng, sample.key)]),
        ("reason", [b"x" * 257, b"\xff", b"\xed\xa0\x80", b"x" * 900]),
        ("date", [0, NOW + 5 * MINUTE_MS + 1, 2**62]),
    ])
    setattr(sample, name, rng.choice(values))
    return sample.statement()


def other_revoker(rng, sample, pool):
    """Someone who may not: a stranger, a key before the revoked one, one two after it."""
    sample.seed = rng.choice(pool + sample.identity.seeds * 10)
    return sample.statement()


def less_evidence(rng, sample, pool):
    """The reader knows no chain, an older one, another identity's, a broken one, or no registrar."""
    how = rng.randint(0, 4)
    if how == 0:
        sample.chain = b""
    elif how == 1:
        chain = sample.identity.chain_statements()
        sample.chain = join(chain[:rng.randint(1, len(chain))])
    elif how == 2:
        sample.chain = Sample(rng, pool).chain()
    elif how == 3 and sample.chain:
        sample.chain = damaged(rng, sample.chain)
    else:
        sample.registrar = None
    return sample.statement()


def forked_evidence(rng, sample, pool):
    """The reader has seen another branch of the chain, in which other keys come after the first."""
    rest = [seed for seed in pool if seed not in sample.identity.seeds]
    sample.identity.seeds[1:] = rng.sample(rest, len(sample.identity.seeds) - 1)
    sample.chain = sample.identity.chain()
    return sample.statement()


def other_revocation_context(rng, sample, _):
    return sample.statement(rng.choice([b"dotagent revocation v2\0", b"dotagent revocation v0\0", b"dotagent token revocation v1\0", INCEPTION, b""]))


def other_revocation_form(rng, sample, _):
    extra = rng.choice(EXTRA)
    payload = statements.revocation_payload(sample.agent, sample.key, sample.reason, sample.date)
    if rng.random() < 0.3:
        return sample.statement() + rng.choice([extra, field(4, rng.randbytes(64))])
    at = rng.choice([len(payload), 34, 68])
    return statements.statement(REVOCATION, payload[:at] + extra + payload[at:], sample.seed)


def weak_revocation(rng, sample, _):
    payload, _, signature, _ = statements.parse_statement(sample.statement())
    return weak(rng, payload, sample.seed, signature)


def check_broken_revocations(tool, rng, pool):
    seen, broken = collections.Counter(), collections.Counter()
    hows = [damaged_revocation, changed_revocation, changed_revocation, other_revoker, less_evidence, forked_evidence, other_revocation_context,
            other_revocation_form, weak_revocation]
    while sum(broken.values()) < ROUNDS:
        how, sample = rng.choice(hows), Revoked(rng, pool)
        statement = how(rng, sample, pool)
        ours, theirs = sample.verdicts(tool, statement)
        agree(ours, theirs, f"{how.__name__}: {statement.hex()} {sample.chain.hex()}")
        if ours[0]:
            continue  # the change happens to be allowed
        broken[how.__name__] += 1
        seen[ours[1]] += 1
    agree(set(seen) | {"TOO_LARGE"}, REASONS, "the reasons that came up")
    agree(set(broken), {how.__name__ for how in hows}, "the ways in which revocations were broken")
    return seen


def told(seen):
    return ", ".join(f"{why} {count}" for why, count in sorted(seen.items()))


def main():
    tool, rng = Tool(sys.argv[1]), random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    pool = [rng.randbytes(32) for _ in range(120)]  # whether a key has prime order costs milliseconds here, once for each
    first = Sample(rng, pool)
    agree(split(first.chain()), first.chain_statements(), "split and join are each other's inverse")
    check_valid_chains(tool, rng, pool)
    print(f"{ROUNDS} valid and {ROUNDS} broken rotation chains: both sides agree. Refused: {told(check_broken_chains(tool, rng, pool))}")
    print(f"Two chains compared: {told(check_relations(tool, rng, pool))}")
    by = check_valid_revocations(tool, rng, pool)
    print(f"{ROUNDS} valid and {ROUNDS} broken revocations: both sides agree. Signed by: {told(by)}. "
          f"Refused: {told(check_broken_revocations(tool, rng, pool))}")


if __name__ == "__main__":
    main()

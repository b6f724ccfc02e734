#!/usr/bin/python3
"""Compares the C++ records, messages and canonical JSON (through record_tool) with an independent implementation.

usage: check_record.py RECORD_TOOL [SEED]

What either side signs the other must accept, byte for byte the same; what is broken, both must refuse for the same
reason. Repeats from its seed.
"""
import json
import random
import struct
import subprocess
import sys

import documents
import jcs
from documents import b64

NOW = 1795435200000  # 2026-11-23T12:00:00Z, in milliseconds
ROUNDS = 200
PEER = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"


class Tool:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, *words):
        """(True, bytes), or (False, reason)."""
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()
        status, answer, *_ = self.process.stdout.readline().decode("utf-8").split(" ", 2) + [""]
        if status == "ok":
            return True, documents.unb64(answer.strip(), "")
        assert status == "refused", f"record_tool answered {status!r} {answer!r} to {words[0]}"
        return False, answer


def agree(ours, theirs, what):
    if ours != theirs:
        sys.exit(f"FAILED: {what}\n  python: {ours}\n  C++:    {theirs}")


def python_verdict(check, *arguments):
    try:
        check(*arguments)
        return True, b""
    except documents.Refused as refusal:
        return False, refusal.args[0]


def random_text(rng):
    ranges = [(0x20, 0x7e), (0x00, 0x1f), (0x7f, 0x7ff), (0x800, 0xd7ff), (0xe000, 0xffff), (0x10000, 0x10ffff)]
    return "".join(chr(rng.randint(*rng.choice(ranges[: rng.choice([1, 6])]))) for _ in range(rng.randint(0, 12)))


def random_number(rng):
    value = struct.unpack("<d", rng.randbytes(8))[0]
    any_double = value if value == value and abs(value) != float("inf") else 0.5
    power = 10.0 ** rng.randint(-9, 25)
    return rng.choice([rng.randint(-2**53, 2**53), rng.randint(-99, 99), rng.uniform(-1e6, 1e6), power, any_double])


def random_value(rng, depth):
    kind = rng.randint(0, 5 if depth else 3)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return random_number(rng)
    if kind <= 3:
        return random_text(rng)
    if kind == 4:
        return [random_value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return random_object(rng, depth - 1)


def random_object(rng, depth=3):
    return {random_text(rng): random_value(rng, depth) for _ in range(rng.randint(0, 5))}


def random_name(rng):
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    labels = ["".join(rng.choices(letters, k=rng.randint(1, 63))) for _ in range(rng.randint(1, 3))]
    return ".".join(labels) + ".agent"


def random_address(rng):
    host = rng.choice([f"/ip4/192.0.2.{rng.randint(0, 255)}", f"/ip6/2001:db8::{rng.randint(0, 65535):x}",
                       "/dns/gateway.example", "/dns4/a-b.example"])
    end = rng.choice(["", f"/p2p/{PEER}", f"/p2p/{PEER}/p2p-circuit/p2p/{PEER}", "/quic-v1", "/tls/ws"])
    return f"{host}/{rng.choice(['tcp', 'udp'])}/{rng.randint(1, 65535)}{end}"


def random_record(rng):
    return {"name": random_name(rng), "addresses": [random_address(rng) for _ in range(rng.randint(0, 6))],
            "protocols": [f"/p{i}/{rng.randint(0, 9)}.0" for i in range(rng.randint(0, 6))],
            "ttl": rng.randint(60, 7 * 24 * 3600)}


def random_message(rng):
    return {"id": rng.randbytes(16).hex(), "type": rng.choice(documents.TYPES), "sender": random_name(rng),
            "recipient": random_name(rng), "content": random_object(rng)}


def complete(fields, kind, seed, millis):
    document = {**fields, "timestamp": documents.timestamp_text(millis)}
    if kind == "record":
        document["publicKey"] = b64(documents.public_key(seed))
    return documents.sign(seed, document)


def spelled(rng, document):
    """The same document in another layout."""
    items = list(document.items())
    rng.shuffle(items)
    return json.dumps(dict(items), indent=rng.choice([None, 1, 4]), ensure_ascii=rng.choice([True, False])).encode()


def verdicts(tool, kind, seed, data, now):
    """What Python and C++ say."""
    if kind == "record":
        ours = python_verdict(documents.check_record, data, now)
        theirs = tool.ask("record-verify", now, b64(data))
        # `cryptography` does not say when 32 bytes are no key: the signature then does not verify.
        return ours, ours if (ours, theirs) == ((False, "BAD_SIGNATURE"), (False, "BAD_KEY")) else theirs
    key = documents.public_key(seed)
    return (python_verdict(documents.check_message, data, key, now),
            tool.ask("message-verify", now, b64(key), b64(data)))


REPLACEMENTS = ["", "x", 0, -1, 59, 604801, 1.5, None, True, [], {}, ["x"], [1], "bob.agent", "Bob.AGENT", "bob..agent",
                "a" * 64 + ".agent", "2026-11-23T12:00:00Z", "2026-11-23T14:00:00+02:00", "2026-11-23 12:00:00Z",
                "2026-02-30T00:00:00Z", "2026-11-01T12:00:00Z", "2026-11-24T12:00:00Z", ["/ip4/1.2.3.4/tcp/1"],
                ["/ip4/1.2.3/tcp/1"], ["/ip6/fe80::1%eth0/tcp/1"], ["/ip4/1.2.3.4/tcp/0"], ["a b"], ["é"], "\ud7ff",
                "REQUEST", "QUERY", "Zg==", "Zg", b64(bytes(33)), 3600, 3600.0, {"deep": [[[[[]]]]]}, {"n": 1e20}]


def broken(rng, document, seed):
    """A document with one thing changed: a value (mostly signed again), a field, or a byte."""
    how = rng.randint(0, 9)
    changed = dict(document)
    if how <= 4:
        changed[rng.choice(list(changed))] = rng.choice(REPLACEMENTS)
        if how:
            changed = documents.sign(seed, changed)
        return jcs.canonical(changed)
    if how == 5:
        del changed[rng.choice(list(changed))]
        return jcs.canonical(changed)
    if how == 6:
        return jcs.canonical(documents.sign(seed, {**changed, rng.choice(["extra", "Name", ""]): 1}))
    data = bytearray(jcs.canonical(document))
    at = rng.randrange(len(data))
    if how == 7:
        data[at] ^= 1 << rng.randrange(8)
    elif how == 8:
        del data[at : at + rng.randint(1, 3)]
    else:
        data[at:at] = rng.choice([b" ", b"\0", b"\xff", b",", b"0", b"{", b'"x":1,', b"\\u0000"])
    return bytes(data)


def check_signing(tool, rng, kind):
    for i in range(ROUNDS):
        seed = rng.randbytes(32)
        millis = NOW - rng.randint(0, 6 * 24 * 3600 * 1000)
        fields = random_record(rng) if kind == "record" else random_message(rng)
        ours = jcs.canonical(complete(fields, kind, seed, millis))
        theirs = tool.ask(f"{kind}-sign", b64(seed), millis, b64(json.dumps(fields).encode()))
        agree((True, ours), theirs, f"{kind} {i}: both sides sign the same bytes")
        for data in (theirs[1], spelled(rng, json.loads(ours))):
            agree(((True, b""), (True, b"")), verdicts(tool, kind, seed, data, NOW), f"{kind} {i} is valid: {data!r}")


def check_refusals(tool, rng, kind):
    refused = 0
    reasons = set()
    while refused < ROUNDS:
        seed = rng.randbytes(32)
        fields = random_record(rng) if kind == "record" else random_message(rng)
        millis = NOW + rng.choice([0, 0, 0, 0, 1, -1]) * 8 * 24 * 3600 * 1000
        data = broken(rng, complete(fields, kind, seed, millis), seed)
        ours, theirs = verdicts(tool, kind, seed, data, NOW)
        agree(ours, theirs, f"broken {kind}: {data!r}")
        if not ours[0]:  # some changes leave a valid document, which both must accept
            refused += 1
            reasons.add(ours[1])
    return sorted(reasons)


def check_canonical(tool, rng):
    for _ in range(5 * ROUNDS):
        data = json.dumps(random_value(rng, 4), ensure_ascii=rng.choice([True, False])).encode()
        if rng.randint(0, 3) == 0:
            at = rng.randrange(len(data))
            data = data[:at] + rng.choice([b"", b"1", b"e9", b"\xe2", b"\0", b"]", b'"']) + data[at + 1 :]
        try:
            ours = (True, jcs.canonical(jcs.parse(data)))
        except jcs.Bad:
            ours = (False, "-")
        agree(ours, tool.ask("canonical", b64(data)), f"canonical form of {data!r}")


def main():
    tool = Tool(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 8785
    rng = random.Random(seed)
    check_canonical(tool, rng)
    print(f"canonical JSON: {5 * ROUNDS} texts agree (seed {seed})")
    for kind in ("record", "message"):
        check_signing(tool, rng, kind)
        reasons = check_refusals(tool, rng, kind)
        print(f"{kind}: {ROUNDS} signed by both sides agree; {ROUNDS} broken ones are refused alike, as "
              f"{', '.join(reasons)}")


if __name__ == "__main__":
    main()

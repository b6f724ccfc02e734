#!/usr/bin/python3
"""Compares the C++ sealed messages and their HPKE (through seal_tool) with independent implementations.

usage: check_seal.py SEAL_TOOL [SEED]

The Python one is held to the test vector of RFC 9180 first. What either side seals the other must open; what is altered,
moved to another message, signed by another or sealed to another, and what is no content inside, both must refuse. From
the seed.
"""
import json
import pathlib
import random
import sys

INTEROP = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(INTEROP), str(INTEROP / "record")]
import documents
import hpke
import jcs
import sealed
from strict_ed25519 import public_key
from tool import Tool, agree

NOW = 1795435200000  # 2026-11-23T12:00:00Z, in milliseconds
ROUNDS = 300
TYPES = [kind for kind in documents.TYPES if kind != "REQUEST"]
TEXTS = ["", "hello", "Grüße", "\u2028", "\x00\x1f", "😀", "a" * 300]

# RFC 9180, A.2.1: mode base, sequence number 0.
VECTOR = {name: bytes.fromhex(text) for name, text in {
    "ephemeral": "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600",
    "recipient": "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb",
    "info": "4f6465206f6e2061204772656369616e2055726e",
    "aad": "436f756e742d30",
    "plaintext": "4265617574792069732074727574682c20747275746820626561757479",
    "sealed": "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
              "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
}.items()}


def check_vector():
    info, aad = VECTOR["info"], VECTOR["aad"]
    ours = hpke.seal(VECTOR["ephemeral"], hpke.public(VECTOR["recipient"]), info, aad, VECTOR["plaintext"])
    agree(ours, VECTOR["sealed"], "the vector of RFC 9180 A.2.1, sealed")
    agree(hpke.open_(VECTOR["recipient"], info, aad, VECTOR["sealed"]), VECTOR["plaintext"], "the same, opened")


def verdict(call, *arguments):
    try:
        return True, call(*arguments)
    except (hpke.Refused, sealed.Refused) as refused:
        return False, refused.args[0] if refused.args else ""


def altered(rng, data):
    how = rng.randrange(4)
    at = rng.randrange(len(data)) if data else 0
    if how == 0 and data:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
    if how == 1:
        return data[:at]
    if how == 2:
        return data[:at] + rng.randbytes(rng.randint(1, 3)) + data[at:]
    return rng.randbytes(len(data))


def check_hpke(tool, rng):
    refused = 0
    for number in range(ROUNDS):
        ephemeral, recipient = rng.randbytes(32), rng.randbytes(32)
        info, aad, plaintext = (rng.randbytes(rng.choice([0, 1, 31, 32, 33, 100, 5000])) for _ in range(3))
        ours = hpke.seal(ephemeral, hpke.public(recipient), info, aad, plaintext)
        agree((True, ours), tool.ask("hpke-seal", ephemeral, hpke.public(recipient), info, aad, plaintext), f"HPKE {number}: sealed")
        agree((True, plaintext), tool.ask("hpke-open", recipient, info, aad, ours), f"HPKE {number}: opened")
        broken = [(recipient, info, aad, altered(rng, ours)), (recipient, altered(rng, info), aad, ours), (recipient, info, altered(rng, aad), ours),
                  (rng.randbytes(32), info, aad, ours), (recipient, info, aad, rng.choice([bytes(32), b"\1" + bytes(31)]) + ours[32:])]
        for question in broken:
            mine = verdict(hpke.open_, *question)[0]
            agree(mine, tool.ask("hpke-open", *question)[0], f"HPKE {number}: broken")
            refused += not mine
    return refused


def random_fields(rng):
    label = lambda: "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=rng.randint(1, 20)))
    return {"id": rng.randbytes(rng.randint(1, 32)).hex(), "type": rng.choice(TYPES), "sender": label() + ".agent", "recipient": label() + ".agent"}


def random_content(rng):
    """(content, data): what is to be said, and what goes beside it."""
    if rng.randrange(3) == 0:
        data = rng.randbytes(rng.choice([0, 1, 100, 70000]))
        return sealed.describe(rng.choice(["text/plain", "application/octet-stream", sealed.MEDIA_TYPE]), data), data
    return {rng.choice(TEXTS): rng.choice([*TEXTS, 0, -1.5, 1e21, None, True, [1, "x"], {"y": {}}]) for _ in range(rng.randint(0, 4))}, b""


def split(answer):
    length, rest = sealed.read_uvarint(answer)
    return rest[:length], rest[length:]


class Case:
    """A sealed message, by Python, from one key to another."""

    def __init__(self, rng):
        self.rng = rng
        self.sender, self.recipient = rng.randbytes(32), rng.randbytes(32)
        self.fields = random_fields(rng)
        self.dated = {**self.fields, "timestamp": documents.timestamp_text(NOW - rng.randrange(10**9))}
        self.content, self.data = random_content(rng)
        self.text, self.attachment = self.seal(self.dated)

    def seal(self, fields):
        return sealed.seal(self.sender, public_key(self.recipient), fields, self.rng.randbytes(32), self.content, self.data)

    def around(self, fields, attachment, seed=None):
        """These bytes in a message, signed."""
        message = {**fields, "content": sealed.describe(sealed.MEDIA_TYPE, attachment)}
        return jcs.canonical(documents.sign(seed or self.sender, message)), attachment

    def broken(self):
        """(what, recipient's seed, sender's key, message, attachment)"""
        sender = public_key(self.sender)
        other = self.rng.randbytes(32)
        changed = {name: value for name, value in random_fields(self.rng).items() if name == self.rng.choice([*self.fields, "id"])}
        moved = {**self.dated, **changed}
        yield "altered", self.recipient, sender, *self.around(self.dated, altered(self.rng, self.attachment))
        yield "moved", self.recipient, sender, *self.around(moved, self.attachment)
        yield "dated anew", self.recipient, sender, *self.around({**self.dated, "timestamp": documents.timestamp_text(NOW)}, self.attachment)
        yield "another's", self.recipient, public_key(other), *self.around(self.dated, self.attachment, other)
        yield "to another", other, sender, self.text, self.attachment
        yield "a request", self.recipient, sender, *self.seal({**self.dated, "type": "REQUEST"})
        yield "not sealed", self.recipient, sender, jcs.canonical(documents.sign(self.sender, {**self.dated, "content": {"text": "x"}})), b""
        text = jcs.canonical(self.content)
        inside = self.rng.choice([b"", text, altered(self.rng, sealed.uvarint(len(text)) + text + self.data), b"\x80\x00", b"\xff" * 20,
                                  sealed.uvarint(2) + b"[]", sealed.uvarint(13) + b'{"a":1,"a":2}', sealed.uvarint(2) + b"{}x",
                                  sealed.uvarint(len(text)) + text + self.data + b"x"])
        yield "inside", self.recipient, sender, *sealed.seal_inside(self.sender, public_key(self.recipient), self.dated, self.rng.randbytes(32), inside)


def check_opening(tool, rng):
    refused = {}
    for number in range(ROUNDS):
        case = Case(rng)
        status, answer = tool.ask("open", case.recipient, public_key(case.sender), NOW, case.text, case.attachment)
        agree((True, (jcs.canonical(case.content), case.data)), (status, split(answer) if status else answer), f"message {number}: sealed by Python")
        for what, recipient, sender, text, attachment in case.broken():
            ours = verdict(sealed.open_, recipient, sender, text, attachment)
            theirs = tool.ask("open", recipient, sender, NOW, text, attachment)
            if ours[0]:  # some changes leave a message that is whole
                ours = True, (jcs.canonical(ours[1][0]), ours[1][1])
                theirs = theirs[0], split(theirs[1]) if theirs[0] else theirs[1]
            else:
                refused[what] = refused.get(what, 0) + 1
            agree(ours, theirs, f"message {number}, {what}")
    return refused


def check_sealing(tool, rng):
    for number in range(ROUNDS):
        seed, recipient, fields = rng.randbytes(32), rng.randbytes(32), random_fields(rng)
        content, data = random_content(rng)
        question = json.dumps({**fields, "content": content})
        status, answer = tool.ask("seal", seed, public_key(recipient), NOW, question, data)
        agree(status, True, f"message {number}: C++ seals, {answer!r}")
        text, attachment = split(answer)
        documents.check_message(text, public_key(seed), NOW)
        message = jcs.parse(text)
        agree({name: message[name] for name in fields}, fields, f"message {number}: what stays outside")
        agree((True, (jcs.parse(jcs.canonical(content)), data)), verdict(sealed.open_, recipient, public_key(seed), text, attachment),
              f"message {number}: sealed by C++")


def main():
    tool = Tool(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 9180
    rng = random.Random(seed)
    check_vector()
    print(f"HPKE: {ROUNDS} sealed alike, and opened; {check_hpke(tool, rng)} broken ones refused by both (seed {seed})")
    check_sealing(tool, rng)
    refused = check_opening(tool, rng)
    missing = {"altered", "moved", "dated anew", "another's", "to another", "a request", "not sealed", "inside"} - refused.keys()
    if missing:
        sys.exit(f"FAILED: nothing was refused for being {missing}")
    print(f"messages: {ROUNDS} of each side opened by the other; refused by both: {', '.join(f'{n} {what}' for what, n in refused.items())}")


if __name__ == "__main__":
    main()

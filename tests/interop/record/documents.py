"""Records and messages by the letter of docs/protocol.md, with no code of this project: Python's standard library and
stock `cryptography`."""
import base64
import datetime
import ipaddress
import re

import jcs
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Refused(Exception):
    """args[0] is the reason."""


RECORD_FIELDS = {"name": str, "publicKey": str, "addresses": list, "protocols": list, "timestamp": str, "ttl": int,
                 "signature": str}
MESSAGE_FIELDS = {"id": str, "type": str, "sender": str, "recipient": str, "timestamp": str, "content": dict,
                  "signature": str}
TYPES = ("REQUEST", "RESPONSE", "NOTIFICATION", "STREAM", "ERROR")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE | re.ASCII)
HOST_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE | re.ASCII)
TIMESTAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text, bad):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused(bad) from None
    if b64(data) != text:
        raise Refused(bad)
    return data


def public_key(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(seed, document):
    """`document` with its signature added (replaced)."""
    rest = {name: value for name, value in document.items() if name != "signature"}
    return {**rest, "signature": b64(Ed25519PrivateKey.from_private_bytes(seed).sign(jcs.canonical(rest)))}


def timestamp_text(millis):
    seconds, rest = divmod(millis, 1000)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:03}Z"


def read(data, fields, limit, bad):
    if len(data) > limit:
        raise Refused("TOO_LARGE")
    try:
        document = jcs.parse(data)
    except jcs.Bad:
        raise Refused(bad) from None
    if not isinstance(document, dict) or document.keys() != fields.keys():
        raise Refused(bad)
    for name, kind in fields.items():
        value = document[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise Refused(bad)
        if kind is list and not all(isinstance(item, str) for item in value):
            raise Refused(bad)
    return document


def check_name(name):
    if len(name.encode()) > 253 or not name.lower().endswith(".agent"):
        raise Refused("BAD_NAME")
    if not all(LABEL.fullmatch(label) for label in name[: -len(".agent")].split(".")):
        raise Refused("BAD_NAME")


def check_signature(document, key, bad):
    signature = unb64(document["signature"], bad)
    rest = {name: value for name, value in document.items() if name != "signature"}
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, jcs.canonical(rest))
    except (InvalidSignature, ValueError):
        raise Refused("BAD_SIGNATURE") from None


def age_millis(document, now, bad):
    match = TIMESTAMP.fullmatch(document["timestamp"])
    if not match:
        raise Refused(bad)
    *date, fraction, sign_, hours, minutes = match.groups()
    try:
        moment = datetime.datetime(*map(int, date), tzinfo=datetime.timezone.utc)
    except ValueError:
        raise Refused(bad) from None
    seconds = (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(seconds=1)
    if sign_:
        hours, minutes = int(hours), int(minutes)
        if hours > 23 or minutes > 59 or (sign_ == "-" and hours == minutes == 0):
            raise Refused(bad)
        seconds -= (hours * 3600 + minutes * 60) * (-1 if sign_ == "-" else 1)
    return now - seconds * 1000 - int((fraction or "0").ljust(9, "0")) / 1e6


def is_host(name):
    return len(name) <= 253 and all(HOST_LABEL.fullmatch(label) for label in name.split("."))


def is_port(text):
    return re.fullmatch(r"[1-9]\d{0,4}", text, re.ASCII) is not None and int(text) <= 65535


def is_ip(kind, text):
    try:
        return "%" not in text and kind(text) is not None
    except ValueError:
        return False


HOSTS = {"ip4": lambda text: is_ip(ipaddress.IPv4Address, text), "ip6": lambda text: is_ip(ipaddress.IPv6Address, text),
         "dns": is_host, "dns4": is_host, "dns6": is_host}
OTHERS = {"p2p-circuit", "quic-v1", "ws", "wss", "tls", "noise", "http", "https", "webtransport"}


def check_address(address):
    if len(address) > 512 or not re.fullmatch(r"/[!-~]+", address, re.ASCII):
        raise Refused("BAD_ADDRESS")
    parts = address[1:].split("/")
    if parts[0] in HOSTS:
        if len(parts) < 4 or not HOSTS[parts[0]](parts[1]) or parts[2] not in ("tcp", "udp") or not is_port(parts[3]):
            raise Refused("BAD_ADDRESS")
        parts = parts[4:]
    elif parts[0] != "p2p":
        raise Refused("BAD_ADDRESS")
    while parts:
        if parts[0] == "p2p" and len(parts) > 1 and re.fullmatch(r"[A-Za-z0-9]{32,128}", parts[1], re.ASCII):
            parts = parts[2:]
        elif parts[0] in OTHERS:
            parts = parts[1:]
        else:
            raise Refused("BAD_ADDRESS")


def check_record(data, now):
    """Raises Refused unless `data` is a record that holds at `now` (milliseconds since 1970)."""
    bad = "BAD_RECORD"
    document = read(data, RECORD_FIELDS, 8192, bad)
    check_name(document["name"])
    key = unb64(document["publicKey"], bad)
    if len(key) != 32:
        raise Refused("BAD_KEY")
    check_signature(document, key, bad)
    age = age_millis(document, now, bad)
    if age < -5 * 60 * 1000:
        raise Refused("FUTURE_DATED")
    if age > 7 * 24 * 3600 * 1000:
        raise Refused("STALE")
    if not 60 <= document["ttl"] <= 7 * 24 * 3600 or len(document["addresses"]) > 32:
        raise Refused(bad)
    for address in document["addresses"]:
        check_address(address)
    if len(document["protocols"]) > 64 or not all(
            re.fullmatch(r"[!-~]{1,128}", protocol) for protocol in document["protocols"]):
        raise Refused(bad)


def check_message(data, key, now):
    bad = "BAD_MESSAGE"
    document = read(data, MESSAGE_FIELDS, 65536, bad)
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", document["id"], re.ASCII) or document["type"] not in TYPES:
        raise Refused(bad)
    check_name(document["sender"])
    check_name(document["recipient"])
    check_signature(document, key, bad)
    if age_millis(document, now, bad) < -5 * 60 * 1000:
        raise Refused("FUTURE_DATED")

"""An agent without any of dotagent's code: stubs generated from the protos, and the `cryptography` package. See README.md."""

import base64
import datetime
import hashlib
import json
import os
import queue
import ssl

import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from dotagent.gateway.v1 import gateway_pb2 as pb
from dotagent.gateway.v1 import gateway_pb2_grpc

# gRPC asks every 20 seconds whether the gateway is still there while a call is open: a network that vanishes says nothing.
OPTIONS = [("grpc.ssl_target_name_override", "dotagent"), ("grpc.keepalive_time_ms", 20_000), ("grpc.http2.max_pings_without_data", 0)]


def raw(public_key):
    return public_key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def canonical(document):
    """RFC 8785, for documents whose member names are ASCII and whose numbers are integers."""
    unsigned = {name: value for name, value in document.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Agent:
    def __init__(self, gateway, name, key=None):
        self.name, self.key = name, key or Ed25519PrivateKey.generate()
        host, port = gateway.rsplit(":", 1)
        certificate = ssl.get_server_certificate((host, int(port)))  # trusted on first use
        self.channel = grpc.secure_channel(gateway, grpc.ssl_channel_credentials(certificate.encode()), OPTIONS)
        self.stub = gateway_pb2_grpc.GatewayServiceStub(self.channel)
        self.metadata = self.authenticate(hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest())

    def authenticate(self, binding):
        nonce, own = os.urandom(32), raw(self.key.public_key())
        challenge = self.stub.Challenge(pb.ChallengeRequest(public_key=own, client_nonce=nonce))
        transcript = nonce + challenge.server_nonce + own + challenge.server_key + binding
        Ed25519PublicKey.from_public_bytes(challenge.server_key).verify(challenge.server_signature, b"dotagent auth v1 gateway server\0" + transcript)
        proof = self.key.sign(b"dotagent auth v1 gateway client\0" + transcript)
        answer = self.stub.Authenticate(pb.AuthenticateRequest(challenge_id=challenge.challenge_id, signature=proof))
        return [("authorization", "Bearer " + answer.token)]

    def sign(self, document):
        document["signature"] = base64.b64encode(self.key.sign(canonical(document))).decode()
        return json.dumps(document).encode()

    def register(self):
        record = {"name": self.name, "publicKey": base64.b64encode(raw(self.key.public_key())).decode(), "addresses": list(self.stub.GetInfo(pb.GetInfoRequest()).addresses),
                  "protocols": ["/dotagent/message/1.0.0"], "timestamp": now(), "ttl": 86400}
        return self.stub.Register(pb.RegisterRequest(record_json=self.sign(record)), metadata=self.metadata)

    def resolve(self, name):
        record = json.loads(self.stub.Resolve(pb.ResolveRequest(name=name), metadata=self.metadata).record_json)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(record["publicKey"]))
        key.verify(base64.b64decode(record["signature"]), canonical(record))
        return record, key

    def send(self, recipient, content):
        message = {"id": os.urandom(16).hex(), "type": "REQUEST", "sender": self.name, "recipient": recipient, "timestamp": now(), "content": content}
        self.stub.Send(pb.SendRequest(message_json=self.sign(message)), metadata=self.metadata, timeout=30)
        return message["id"]

    def receive(self):
        """The next message, verified against its sender's record and acknowledged."""
        acks = queue.Queue()
        acks.put(pb.InboxRequest(open=pb.InboxOpen(name=self.name)))
        events = self.stub.Inbox(iter(acks.get, None), metadata=self.metadata, timeout=30)
        for event in events:
            if event.HasField("message"):
                message = json.loads(event.message.message_json)
                self.resolve(message["sender"])[1].verify(base64.b64decode(message["signature"]), canonical(message))
                acks.put(pb.InboxRequest(ack=pb.InboxAck(sequences=[event.message.sequence])))
                acks.put(None)  # half close: the gateway ends the stream when it has the ack
                list(events)
                return message
        raise RuntimeError("the inbox ended without a message")

"""An agent beside its own gateway: no key, no token, no cryptography, only gRPC stubs. See README.md.

sidecar.py SOCKET send NAME TEXT     puts a message into an inbox
sidecar.py SOCKET ask NAME TEXT      asks, and prints the answer
sidecar.py SOCKET serve              prints what comes, and answers requests with what they said
"""

import json
import queue
import sys

import grpc
from dotagent.sidecar.v1 import sidecar_pb2 as pb
from dotagent.sidecar.v1 import sidecar_pb2_grpc


def send(agent, name, text):
    print("sent", agent.Send(pb.SendRequest(recipient=name, content_json=json.dumps({"text": text}).encode()), timeout=30).id)


def ask(agent, name, text):
    answer = agent.Request(pb.RequestRequest(recipient=name, content_json=json.dumps({"text": text}).encode()), timeout=30)
    print(answer.content_json.decode())


def serve(agent):
    say = queue.Queue()
    say.put(pb.ListenRequest(open=pb.ListenOpen(accept_requests=True)))
    for event in agent.Listen(iter(say.get, None)):
        if event.HasField("ready"):
            print("listening", flush=True)
        elif event.HasField("message"):
            print("message from", event.message.sender, event.message.content_json.decode(), flush=True)
            say.put(pb.ListenRequest(ack=pb.ListenAck(sequences=[event.message.sequence])))
        elif event.HasField("request"):
            print("request from", event.request.sender, event.request.content_json.decode(), flush=True)
            say.put(pb.ListenRequest(answer=pb.ListenAnswer(handle=event.request.handle, content_json=event.request.content_json)))


if __name__ == "__main__":
    try:
        COMMANDS = {"send": send, "ask": ask, "serve": serve}
        COMMANDS[sys.argv[2]](sidecar_pb2_grpc.SidecarServiceStub(grpc.insecure_channel(f"unix:{sys.argv[1]}")), *sys.argv[3:])
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")

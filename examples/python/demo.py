"""Alice and Bob, in Python: register, find each other, exchange signed messages through a gateway."""

import sys

from agent import Agent

gateway = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:7443"
alice, bob = Agent(gateway, "alice-py.agent"), Agent(gateway, "bob-py.agent")
for agent in (alice, bob):
    print(f"{agent.name} registered, confirmed by {len(agent.register().stored_by)} nodes")
print("alice found", alice.resolve("bob-py.agent")[0]["addresses"][0])
alice.send("bob-py.agent", {"method": "greet"})
question = bob.receive()
print("bob received", question["content"], "from", question["sender"])
bob.send(question["sender"], {"inReplyTo": question["id"], "text": "hello Alice"})
print("alice received", alice.receive()["content"])

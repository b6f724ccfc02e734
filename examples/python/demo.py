"""Alice and Bob, in Python: register, find each other, exchange signed messages through a gateway."""

import sys

from agent import Agent

gateway, alice_name, bob_name = (sys.argv[1:] + ["127.0.0.1:7443", "alice-py.agent", "bob-py.agent"][len(sys.argv) - 1:])[:3]
alice, bob = Agent(gateway, alice_name), Agent(gateway, bob_name)
for agent in (alice, bob):
    print(f"{agent.name} registered, confirmed by {len(agent.register().stored_by)} nodes")
print("alice found", alice.resolve(bob_name)[0]["addresses"][0])
alice.send(bob_name, {"method": "greet"})
question = bob.receive()
print("bob received", question["content"], "from", question["sender"])
bob.send(question["sender"], {"inReplyTo": question["id"], "text": "hello Alice"})
print("alice received", alice.receive()["content"])

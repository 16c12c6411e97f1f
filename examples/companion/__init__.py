"""A companion app: people chat with invented characters, behind one gateway. README.md tells how to start it.

quaymaster.yaml   what the gateway is told
system.py         the processes, for `python -m examples.companion`
characters.py     whom one can meet: plain data
auth.py           auth-service: accounts and profiles; matches.py: who liked whom
chat.py           chat-service: conversations
ai.py             ai-service: what the characters answer; only chat-service asks it
media.py          media-service: photos and videos; stories.py: what the characters show of their day
payment.py        payment-service: subscriptions, and tokens that pictures cost
"""

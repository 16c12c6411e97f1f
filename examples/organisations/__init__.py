"""Organisations: people, what they belong to, and their roles there. README.md tells how to start it.

quaymaster.yaml    what the gateway is told
system.py          the processes, for `python -m examples.organisations`
auth.py            auth-service: the endpoints of people
org_endpoints.py   auth-service: the endpoints of organisations
organisations.py   who belongs where, in which role: plain data
"""

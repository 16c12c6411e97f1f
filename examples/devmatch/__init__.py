"""DevMatch: developers and tasks that find each other, behind one gateway. README.md tells how to start it.

quaymaster.yaml   what the gateway is told
system.py         the processes, for `python -m examples.devmatch`
users.py          user-service: accounts, and the profiles of developers
presence.py       presence-service: who is there
tasks.py          task-service
matching.py       recommendation-service: which developers suit a task
orchestrator.py   orchestrator: nobody outside calls it
"""

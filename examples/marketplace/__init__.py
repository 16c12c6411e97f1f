"""A marketplace: people, gigs, posts and products, behind one gateway. README.md tells how to start it.

quaymaster.yaml    what the gateway is told
system.py          the processes, for `python -m examples.marketplace`
users.py           user-service: accounts and profiles
notifications.py   notification-service
freelance.py       freelance-service: gigs, orders, reviews, proposals
content.py         content-service: posts, channels, comments
goods.py           marketplace-service: products, categories
"""

"""The process that stores, shows and sends on what the calls told: `python -m sipproxy.observer`, a child of
the signalling process, which starts it (supervise.py) and never waits for it.
"""

"""How fast the proxy is, and against whom: `python -m bench` at the top of the repository.

Read `__main__` for the order of events, `systems` for who takes part, `measure` for what each figure means.
"""

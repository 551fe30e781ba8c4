"""How the tests are shared out between the processes that run them (`make test` starts three).

A module's tests stay together, since what it starts it starts once; only the stories of SIPp, which are many
and mostly wait, are dealt out one by one. What measures has the machine to itself: it is marked `alone`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ONE_BY_ONE = {"test_scenarios.py"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before pytest-xdist looks at the groups."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        if Path(item.path).name not in ONE_BY_ONE:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))

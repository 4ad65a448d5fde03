"""Which worker of pytest-xdist runs what: two have the files in their order, a third fills what they leave idle.

Tests of the whole program wait for real time, so that two of them do not keep two cores busy; three have their pictures
come late. The third worker therefore runs unit and scenario tests only, from the end, and yields to the others, as does
the run on another Python beside this one (`scripts/python-tests`).
"""

import os

from xdist.scheduler.loadfile import LoadFileScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

THIRD = "gw2"
_LIGHT = ("tests/unit/", "tests/scenario/")
_YIELDS_BY = 10


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """File by file, as `--dist loadfile`; with a third worker as at the top of this file."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node.gateway.id == THIRD:
            light = next((file for file in reversed(self.workqueue) if file.startswith(_LIGHT)), None)
            if light is None:
                node.shutdown()
                return
            self.workqueue.move_to_end(light, last=False)
        super()._assign_work_unit(node)


def settle_in() -> None:
    """Called in each worker before anything else."""
    if os.environ.get("PYTEST_XDIST_WORKER") == THIRD:
        os.nice(_YIELDS_BY)

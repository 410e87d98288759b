"""python -m tests.forkserver.forking MODULE ARGUMENTS

Runs a module; if the module starts Ray, the fork server forks Ray's workers.
"""

import runpy
import sys

import ray

from tests.forkserver.fork_server import LAUNCHER

if __name__ == "__main__":
    ray._private.ray_constants.SETUP_WORKER_FILENAME = LAUNCHER
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)

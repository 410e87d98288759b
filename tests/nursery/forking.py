"""python -m tests.nursery.forking MODULE ARGUMENTS: runs a module; a Ray that it starts forks its workers."""

import runpy
import sys

import ray

from tests.nursery.nursery import LAUNCHER

if __name__ == "__main__":
    ray._private.ray_constants.SETUP_WORKER_FILENAME = LAUNCHER
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)

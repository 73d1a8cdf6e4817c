"""A process that ends with the one that started it, however that one ends."""

import os
import signal
import threading
import time

import psutil


def end_with(starter: int) -> None:
    """From now on this process gets SIGTERM when the process `starter` is gone, and is ended ten
    seconds later at most: time for its children to go first."""
    threading.Thread(target=_follow, args=(starter,), daemon=True).start()


def _follow(starter: int) -> None:
    try:
        process = psutil.Process(starter)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(1)
    except psutil.NoSuchProcess:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    psutil.wait_procs(psutil.Process().children(), timeout=10)
    os._exit(1)

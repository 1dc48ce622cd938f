"""APScheduler every second: prints how late each fire is, in nanoseconds."""

import threading
import time

from apscheduler.schedulers.background import BackgroundScheduler

SECOND = 1_000_000_000


def fire():
    print((time.time_ns() + SECOND // 2) % SECOND - SECOND // 2, flush=True)


scheduler = BackgroundScheduler(timezone="UTC")
scheduler.add_job(fire, "cron", second="*")
scheduler.start()
threading.Event().wait()

"""A Celery task that Timeball starts. Run the worker in this directory:

    BROKER_URL=amqp://guest:guest@127.0.0.1:5672// celery -A tasks worker
"""

import os

from celery import Celery

app = Celery("tasks", broker=os.environ.get("BROKER_URL", "amqp://"))


@app.task(bind=True, name="tasks.flush", ignore_result=True)
def flush(self, at):
    # The task's id is the fire's key: whoever remembers it can drop a repeat.
    with open(os.environ.get("FLUSH_LOG", "flush.log"), "a") as log:
        log.write(f"{self.request.id} {at}\n")

"""A DAG without a schedule of its own: Timeball starts its runs. Put it in Airflow's DAGs folder."""

import os

from airflow.sdk import dag, task


@dag(dag_id="flush", schedule=None, is_paused_upon_creation=False, tags=["timeball"])
def flush():
    @task
    def note(dag_run=None):
        # The run's id is the fire's key; its configuration has the nominal instant.
        with open(os.environ.get("FLUSH_LOG", "/tmp/flush.log"), "a") as log:
            log.write(f"{dag_run.run_id} {dag_run.conf['at']}\n")

    note()


flush()

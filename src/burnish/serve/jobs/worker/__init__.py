"""The work on jobs: a supervisor in the server, and a process for each job that it is the turn of."""

from burnish.serve.jobs.worker.supervisor import Supervisor

__all__ = ["Supervisor"]

"""Every subject RelayMD speaks, once. Both sides import this; there is no other list.

A worker says everything about itself and its leases under `relaymd.worker.<its id>.`, the
orchestrator talks to it under `relaymd.control.<its id>.`, people under `relaymd.operator.`.
The permissions of each role in `nats/` follow these prefixes.
"""

from relaymd.bus import facts, operating
from relaymd.bus import messages as m
from relaymd.bus.subjects import Event, Request

LONGEST_WAIT = 60.0
"""Seconds a request for work may wait on the server's side."""

# worker -> registry
REGISTER = Request("relaymd.worker.{worker}.register", m.Register, m.Registered)
HEARTBEAT = Request("relaymd.worker.{worker}.heartbeat", m.Heartbeat, m.HeartbeatAck)
WORKER_DRAINS = Request("relaymd.worker.{worker}.drains", m.WorkerDrains, m.Done)
LEAVE = Request("relaymd.worker.{worker}.leave", m.Leave, m.Done)

# worker -> scheduler
WORK = Request("relaymd.worker.{worker}.work", m.AskForWork, m.WorkAnswer, within=LONGEST_WAIT + 5)
START = Request("relaymd.worker.{worker}.start", m.Start, m.LeaseAnswer)
LAUNCHED = Request("relaymd.worker.{worker}.launched", m.LaunchReport, m.LeaseAnswer)
CHECKPOINT = Request("relaymd.worker.{worker}.checkpoint", m.CheckpointReport, m.LeaseAnswer)
CHECKPOINT_MISSED = Request("relaymd.worker.{worker}.missed", m.CheckpointMiss, m.LeaseAnswer)
DRAINING = Request("relaymd.worker.{worker}.draining", m.DrainReport, m.LeaseAnswer)
COMPLETE = Request("relaymd.worker.{worker}.complete", m.Complete, m.LeaseAnswer)
FAIL = Request("relaymd.worker.{worker}.fail", m.Fail, m.LeaseAnswer)
HANDOFF = Request("relaymd.worker.{worker}.handoff", m.Handoff, m.LeaseAnswer)
CANCELLED = Request("relaymd.worker.{worker}.cancelled", m.CancelReport, m.LeaseAnswer)

# orchestrator -> worker
PING = Request("relaymd.control.{worker}.ping", m.Ping, m.Pong, within=2.0)
DRAIN = Request("relaymd.control.{worker}.drain", m.Drain, m.Done, within=2.0)
STOP = Request("relaymd.control.{worker}.stop", m.StopJob, m.Done, within=2.0)

# people, and the bridge for them -> orchestrator
SUBMIT = Request("relaymd.operator.job.{job}.submit", operating.Submit, operating.JobView)
SHOW = Request("relaymd.operator.job.{job}.show", operating.ShowJob, operating.JobDetails)
CANCEL = Request("relaymd.operator.job.{job}.cancel", operating.CancelJob, operating.JobView)
REQUEUE = Request("relaymd.operator.job.{job}.requeue", operating.RequeueJob, operating.JobView)
JOBS = Request("relaymd.operator.jobs", operating.ListJobs, operating.JobPage)
WORKERS = Request("relaymd.operator.workers", operating.ListWorkers, operating.WorkerList)
DRAIN_WORKER = Request("relaymd.operator.worker.{worker}.drain", operating.DrainWorker, m.Done)
RELEASE_WORKER = Request(
    "relaymd.operator.worker.{worker}.release", operating.ReleaseWorker, m.Done
)
CLUSTERS = Request("relaymd.operator.clusters", operating.ListClusters, operating.ClusterList)
SWITCH = Request("relaymd.operator.cluster.{cluster}.switch", operating.SwitchCluster, m.Done)
PLAN = Request("relaymd.operator.plan", operating.AskPlan, operating.PlanView)
STATUS = Request("relaymd.operator.status", operating.AskStatus, operating.Status)
WIND_DOWN = Request("relaymd.operator.wind-down", operating.WindDown, m.Done, within=2.0)

# facts, stored in order by JetStream
EVENTS = "relaymd.event.>"
JOB_CHANGED = Event("relaymd.event.job.{job}.{kind}", facts.JobChanged)
WORKER_CHANGED = Event("relaymd.event.worker.{worker}.{kind}", facts.WorkerChanged)
PROVIDER_CHANGED = Event("relaymd.event.provider.{cluster}.{kind}", facts.ProviderChanged)

# live, stored nowhere on the bus
OUTPUT = Event("relaymd.output.{job}.{stream}", facts.Output)

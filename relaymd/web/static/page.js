"use strict";
// The live status page: the whole state once, then again whenever an event says that it changed.

const byId = (id) => document.getElementById(id);
const KEPT = 200;

// The token has done its work once the cookie is set; it should not stay in the history.
if (location.search) history.replaceState(null, "", location.pathname);

/** An element with a class and with children; text is always text, never markup. */
function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function ago(at) {
  const seconds = Date.now() / 1000 - at;
  if (seconds < 5) return "just now";
  for (const [limit, size, unit] of [[90, 1, "s"], [5400, 60, "min"], [172800, 3600, "h"]]) {
    if (seconds < limit) return `${Math.round(seconds / size)} ${unit} ago`;
  }
  return `${Math.round(seconds / 86400)} d ago`;
}

function when(at) {
  const element = make("time", "", ago(at));
  element.dataset.at = at;
  element.title = new Date(at * 1000).toLocaleString();
  return element;
}

function bytes(count) {
  let unit = "B";
  for (const next of ["kB", "MB", "GB", "TB"]) {
    if (count < 1000) break;
    count /= 1000;
    unit = next;
  }
  return `${count < 10 && unit !== "B" ? count.toFixed(1) : Math.round(count)} ${unit}`;
}

const NO_PROGRESS = { queued: "not begun", failed: "", cancelled: "", completed: "" };

function bar(job, progress) {
  const known = progress && typeof progress.fraction === "number";
  const fraction = job.state === "completed" ? 1 : known ? Math.min(Math.max(progress.fraction, 0), 1) : null;
  // A finished engine's last word is that of its last checkpoint: what came after was not lost.
  const stale = job.state === "completed" && known && progress.fraction < 1;
  const steps = progress && typeof progress.step === "number" && !stale
    ? progress.step.toLocaleString("en") + (progress.total_steps ? ` of ${progress.total_steps.toLocaleString("en")} steps` : " steps")
    : "";
  const fill = make("i");
  fill.style.width = `${(fraction ?? 0) * 100}%`;
  const track = make("div", "bar", fill);
  track.setAttribute("role", "progressbar");
  if (fraction !== null) track.setAttribute("aria-valuenow", Math.round(fraction * 100));
  const percent = fraction === null ? "" : `${Math.floor(fraction * 1000) / 10} %`;
  return make("div", job.state, track, make("div", "sub", [percent, steps].filter(Boolean).join(" · ") || NO_PROGRESS[job.state] ?? "not known yet"));
}

function jobRow(view) {
  const job = view.job;
  const newest = (job.checkpoints ?? []).at(-1);
  const progress = view.progress ?? newest?.progress;
  const reason = view.why_waiting ?? (job.end && job.state !== "running" && job.state !== "completed" ? job.end.reason : "");
  return make("tr", "",
    make("td", "", make("div", "title", job.title), make("div", "sub id", job.id)),
    make("td", "", make("span", `pill ${job.state}`, job.state), reason ? make("div", "sub", reason) : null),
    make("td", "", bar(job, progress)),
    make("td", "", newest ? `#${newest.generation}` : "none", newest ? make("div", "sub", `${bytes(newest.size ?? 0)} · `, when(newest.at)) : null),
    make("td", "", job.lease ? job.lease.cluster : "–", job.lease ? make("div", "sub id", job.lease.worker) : null),
    make("td", "", when(job.submitted_at)));
}

function workerCard(view) {
  const worker = view.worker;
  const verdict = view.verdict ?? "alive";
  const word = worker.leaving ? "draining" : verdict;
  const jobs = view.jobs ?? [];
  const gpus = (worker.gpus ?? []).map((gpu) => gpu.model).join(", ");
  return make("li", "",
    make("span", "id", worker.id), make("span", `pill ${word}`, word),
    make("span", "sub", [worker.cluster, worker.host, gpus].filter(Boolean).join(" · ")),
    make("span", "sub", jobs.length ? `${jobs.length} of ${worker.slots ?? 1} busy` : "idle"));
}

function place(fact) {
  return fact.allocation ? `${fact.cluster}: ${fact.allocation}` : fact.cluster;
}

function sentence(kind, fact) {
  const event = fact.event ?? {};
  const reason = event.reason ?? event.end?.reason ?? fact.reason ?? "";
  const subject = kind === "job" ? fact.job : kind === "worker" ? fact.worker : place(fact);
  const details = {
    submitted: event.title,
    assigned: event.lease && `to ${event.lease.worker}`,
    launched: event.restored ? `from checkpoint ${event.restored}` : "from its input",
    checkpointed: event.checkpoint && `#${event.checkpoint.generation}, ${bytes(event.checkpoint.size ?? 0)}`,
  };
  return [subject, fact.kind.replaceAll("-", " "), details[fact.kind] || reason];
}

function eventLine(kind, fact) {
  const [subject, verb, detail] = sentence(kind, fact);
  const tone = { failed: "bad", interrupted: "bad", lost: "bad", "checkpoint-missed": "bad", completed: "good" }[fact.kind] ?? "";
  const time = make("time", "", new Date(fact.at * 1000).toLocaleTimeString("en-GB"));
  return make("li", "", time, make("div", "", make("span", "id", subject), " ", make("span", tone, verb), detail ? make("div", "sub", detail) : null));
}

async function get(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.message ?? answer.statusText);
  return body;
}

function say(word, tone) {
  byId("line").textContent = word;
  byId("line").className = `pill ${tone}`;
}

async function refresh() {
  const [status, jobs, workers] = await Promise.all([get("api/v1/status"), get("api/v1/jobs?limit=100"), get("api/v1/workers")]);
  const counts = Object.entries(status.jobs ?? {}).filter(([, count]) => count);
  byId("counts").replaceChildren(...counts.map(([state, count]) => make("li", "", make("b", "", String(count)), ` ${state}`)));
  byId("jobs").replaceChildren(...jobs.jobs.map(jobRow));
  byId("workers").replaceChildren(...workers.workers.map(workerCard));
  byId("no-jobs").hidden = jobs.jobs.length > 0;
  byId("no-workers").hidden = workers.workers.length > 0;
  return status;
}

// Many events in one moment cause one reading; progress between events is read every few seconds
// while somebody looks.
let due = 0;
function soon(delay = 150) {
  if (due) return;
  due = setTimeout(async () => {
    try {
      await refresh();
      if (line.readyState === EventSource.OPEN) say("live", "live");
    } catch (error) {
      say(error.message, "away");
    }
    due = 0;
  }, delay);
}

let line = { readyState: 2 };
function follow(after) {
  line = new EventSource(`api/v1/events?after=${after}`);
  line.onopen = () => { say("live", "live"); soon(); };
  line.onerror = () => say("reconnecting", "waiting");
  for (const kind of ["job", "worker", "provider"]) {
    line.addEventListener(kind, (message) => {
      const list = byId("events");
      list.prepend(eventLine(kind, JSON.parse(message.data)));
      while (list.children.length > KEPT) list.lastChild.remove();
      soon();
    });
  }
}

async function begin() {
  try {
    const status = await refresh();
    follow(Math.max((status.last_event ?? 0) - 40, 0));
  } catch (error) {
    say(error.message, "away");
    setTimeout(begin, 2000);
  }
}

setInterval(() => { if (!document.hidden) soon(); }, 3000);
setInterval(() => {
  for (const element of document.querySelectorAll("time[data-at]")) element.textContent = ago(Number(element.dataset.at));
}, 5000);
begin();

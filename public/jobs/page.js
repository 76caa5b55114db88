// All jobs of a person, live: those that run first, then those that wait, then the newest. The server tells of each change (`/api/events`).
import { canRetry, duration, elapsed, isLive, left, percentOf, progressOf, starts, STATES, tokens } from '../words.js';

const PAGE = 50;
const RECONNECT_MILLISECONDS = 2000;

const at = (id) => document.querySelector(`#${id}`);
const jobs = new Map();
let me = { name: '', admin: false };
const rows = new Map();

const tell = (id, text) => {
  at(id).textContent = text;
  at(id).hidden = !text;
};

const api = async (method, path) => {
  const answer = await fetch(`/api/${path}`, { method });
  if (answer.status === 401) {
    tell('problem', 'Log in to see your jobs.');
    location.assign('/login');
  }
  if (answer.status === 204) return {};
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error?.message ?? 'The server did not answer; try again.');
  return body;
};

const make = (tag, className = '') => Object.assign(document.createElement(tag), { className });

const act = (label, run) => {
  const button = make('button');
  button.type = 'button';
  button.textContent = label;
  button.addEventListener('click', async () => {
    button.disabled = true;
    try {
      await run();
      tell('problem', '');
    } catch (error) {
      tell('problem', error.message);
    }
    button.disabled = false;
  });
  return button;
};

const makeRow = (id) => {
  const line = make('li');
  line.dataset.testid = 'job-row';
  line.dataset.jobId = id;
  const parts = {
    state: make('strong', 'state'),
    title: make('a', 'title'),
    doing: make('span', 'doing'),
    bar: make('div', 'bar'),
    facts: make('span', 'facts'),
    stop: act('Stop', () => api('POST', `jobs/${id}/cancel`)),
    retry: act('Retry', () => api('POST', `jobs/${id}/retry`)),
    remove: act('Delete', async () => {
      await api('DELETE', `jobs/${id}`);
      jobs.delete(id);
      draw();
    }),
  };
  parts.bar.setAttribute('role', 'progressbar');
  parts.bar.setAttribute('aria-label', 'Progress');
  parts.bar.append(make('div'));
  const actions = make('div', 'actions');
  actions.append(parts.stop, parts.retry, parts.remove);
  line.append(parts.state, parts.title, parts.doing, parts.bar, parts.facts, actions);
  return { line, ...parts };
};

const factsOf = (job) => {
  const now = Date.now() / 1000;
  const waited = (job.started_at ?? job.finished_at ?? now) - job.created_at;
  const facts = job.user === me.name ? [] : [job.user];
  facts.push(new Date(job.created_at * 1000).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' }));
  if (waited >= 1) facts.push(`waited ${elapsed(waited)}`);
  if (job.started_at !== null) {
    const seconds = (job.finished_at ?? now) - job.started_at;
    facts.push(job.finished_at === null ? elapsed(seconds) : duration(seconds));
  }
  if (isLive(job) && job.eta_seconds) {
    facts.push(left({ total: job.progress.total, eta: job.eta_seconds, at: job.heard_at ?? now }, now));
  }
  if (job.starts_in_seconds) {
    facts.push(starts({ state: job.state, wait: job.starts_in_seconds, wait_at: job.heard_at ?? now }, now));
  }
  if (job.usage) facts.push(tokens(job.usage));
  return facts.join(' · ');
};

const fill = (row, job) => {
  const runs = isLive(job);
  row.line.dataset.state = job.state;
  row.state.textContent = STATES[job.state] ?? job.state;
  row.title.textContent = job.title;
  if (job.thread_id && job.user === me.name) row.title.href = `/thread/${encodeURIComponent(job.thread_id)}`;
  const place = job.queue_position ? `${job.queue_position} ahead` : '';
  const progress = runs && job.progress ? progressOf(job.progress) : '';
  row.doing.textContent = progress || place || (runs ? (job.doing ?? '') : (job.error?.message ?? ''));
  const percent = runs ? percentOf(job.progress) : null;
  row.bar.hidden = percent === null;
  if (percent !== null) {
    row.bar.setAttribute('aria-valuenow', Math.round(percent));
    row.bar.firstChild.style.width = `${percent}%`;
  }
  row.facts.textContent = factsOf(job);
  row.stop.hidden = !runs;
  row.stop.disabled = job.state === 'stopping';
  row.retry.hidden = !canRetry(job) || job.user !== me.name;
  row.remove.hidden = runs;
};

const wanted = (job) => {
  const state = at('state').value;
  if (state === 'active' ? !isLive(job) : state && job.state !== state) return false;
  const words = at('search').value.trim().toLowerCase();
  return !words || `${job.title} ${job.task} ${job.id} ${job.user}`.toLowerCase().includes(words);
};

const rank = (job) => isLive(job) + (isLive(job) && job.state !== 'queued');

const byImportance = (one, other) =>
  rank(other) - rank(one) || other.created_at - one.created_at || (other.id > one.id ? 1 : -1);

// A moved element loses the keyboard.
const move = (line, before) => {
  const focused = line.contains(document.activeElement) ? document.activeElement : null;
  at('jobs').insertBefore(line, before);
  focused?.focus();
};

const draw = () => {
  const shown = [...jobs.values()].filter(wanted).sort(byImportance);
  for (const [id, { line }] of rows) {
    if (!shown.some((job) => job.id === id)) {
      line.remove();
      rows.delete(id);
    }
  }
  shown.forEach((job, index) => {
    if (!rows.has(job.id)) rows.set(job.id, makeRow(job.id));
    const row = rows.get(job.id);
    fill(row, job);
    if (at('jobs').children[index] !== row.line) move(row.line, at('jobs').children[index] ?? null);
  });
  at('none').hidden = jobs.size > 0;
  const running = [...jobs.values()].filter((job) => isLive(job)).length;
  document.title = running ? `(${running}) Jobs · Longhaul` : 'Jobs · Longhaul';
};

let oldest = '';
const whose = () => (at('everybody').checked ? '&user=*' : '');

let round = 0; // counts the changes between one's own and everybody's: what belongs to an earlier one is too late

const load = async () => {
  const mine = round;
  const { data, has_more: more } = await api('GET', `jobs?limit=${PAGE}${whose()}${oldest && `&before=${oldest}`}`);
  if (mine !== round) return;
  for (const job of data) {
    jobs.set(job.id, job);
    oldest = job.id;
  }
  at('more').hidden = !more;
  draw();
};

// What changed while nothing was heard: the newest jobs, and those that were said to run.
const catchUp = async () => {
  const mine = round;
  const { data } = await api('GET', `jobs?limit=${PAGE}${whose()}`);
  const fresh = new Map(data.map((job) => [job.id, job]));
  for (const { id } of [...jobs.values()].filter((job) => isLive(job) && !fresh.has(job.id))) {
    const found = await api('GET', `jobs/${id}`).catch(() => null);
    if (found) fresh.set(id, found);
    else if (mine === round) jobs.delete(id);
  }
  if (mine !== round) return;
  fresh.forEach((job, id) => jobs.set(id, job));
  draw();
};

let feed = null;

const follow = () => {
  feed?.close();
  const mine = new EventSource(`/api/events${whose().replace('&', '?')}`);
  feed = mine;
  mine.addEventListener('job', ({ data }) => {
    const job = JSON.parse(data);
    if (job.state === 'deleted') jobs.delete(job.id);
    else jobs.set(job.id, { ...jobs.get(job.id), ...job, heard_at: Date.now() / 1000 });
    draw();
  });
  mine.addEventListener('open', () => {
    tell('status', '');
    catchUp().catch((error) => tell('problem', error.message));
  });
  mine.addEventListener('error', () => {
    tell('status', 'Connection lost. Reconnecting …');
    const refused = mine === feed && mine.readyState === EventSource.CLOSED; // an error of HTTP
    if (refused) setTimeout(() => mine === feed && follow(), RECONNECT_MILLISECONDS);
  });
};

at('filter').addEventListener('input', draw);
at('filter').addEventListener('submit', (event) => event.preventDefault());
at('everybody').addEventListener('change', () => {
  feed?.close();
  round += 1;
  jobs.clear();
  oldest = '';
  load().then(follow, (error) => tell('problem', error.message));
});
at('more').addEventListener('click', () => load().catch((error) => tell('problem', error.message)));
const begin = async () => {
  me = await api('GET', 'me');
  at('others').hidden = !me.admin;
  await load();
};
begin().then(follow, (error) => tell('problem', error.message));
setInterval(draw, 1000);

// All jobs of the person, in every tab: a dot beside each conversation in which one runs, new conversations and their titles,
// and a notice when a long one ends while no tab is looked at. One tab of the browser follows `GET /api/events` and tells the others.
import { connected, listAnew, now, place } from './live.js';
import { duration, isLive, STATES } from './words.js';

const LONG_SECONDS = 30;
const ANSWER_MILLISECONDS = 2000; // a hidden tab may be slow
const SHARE_MILLISECONDS = 50;
const FIRST_PAUSE = 15_000; // milliseconds after a refusal, such as a proxy's while the server starts
const LONGEST_PAUSE = 600_000;

const DOT = `
  content: '';
  position: absolute;
  z-index: 1;
  top: calc(50% - 0.1875rem);
  left: 0.0625rem;
  width: 0.375rem;
  height: 0.375rem;
  border-radius: 50%;
  background: hsl(var(--primary));
`;

const channel = new BroadcastChannel('longhaul');
const style = document.head.appendChild(document.createElement('style'));
const jobs = new Map(); // those that run, of the tab that follows
let seen = () => {}; // called when a tab says that it is looked at

const TRIES = 5;
const TRY_AGAIN_MILLISECONDS = 1000;
const tries = new Map(); // by conversation
let underWay = [];
let again = null;
// Conversations that began elsewhere. One may not be stored yet when it is first heard of, and an old one may be on a later
// page of the list: a few tries, then none.
const findNew = () => {
  if (again || !document.querySelector('#thread-history')) return;
  const isShown = (id) => document.getElementById(`thread-${id}`) || location.pathname.endsWith(`/${id}`);
  const missing = underWay.filter((id) => !isShown(id) && (tries.get(id) ?? 0) < TRIES);
  if (!missing.length) return;
  missing.forEach((id) => tries.set(id, (tries.get(id) ?? 0) + 1));
  listAnew();
  again = setTimeout(() => {
    again = null;
    findNew();
  }, TRY_AGAIN_MILLISECONDS);
};

const draw = (threads) => {
  underWay = threads;
  findNew();
  const lines = threads.map((id) => `[id="thread-${CSS.escape(id)}"]`);
  const row = `:is(${lines.join()})`;
  style.textContent = lines.length ? `${row} { position: relative; } ${row}::before { ${DOT} }` : '';
};

// Of a job that waits.
const placeOf = ({ id, queue_position: ahead, starts_in_seconds: wait, at }) => ({ id, ahead, wait, at });

const shareNow = () => {
  const running = [...jobs.values()];
  const threads = [...new Set(running.map((job) => job.thread_id).filter(Boolean))];
  const places = running.filter((job) => job.state === 'queued').map(placeOf);
  draw(threads);
  place(places);
  channel.postMessage({ threads, places });
};

// Jobs change in crowds.
let sharing = null;
const share = () => {
  sharing ??= setTimeout(() => {
    sharing = null;
    shareNow();
  }, SHARE_MILLISECONDS);
};

// A conversation that is renamed or deleted here.
const { fetch } = window;
window.fetch = async (resource, options) => {
  const answer = await fetch(resource, options);
  const { pathname } = new URL(resource.url ?? resource, document.baseURI);
  if (answer.ok && pathname.endsWith('/project/thread')) channel.postMessage({ list: true });
  return answer;
};

let asking = null;
const someoneLooks = () => {
  if (document.visibilityState === 'visible') return true;
  asking ??= new Promise((answer) => {
    seen = () => answer(true);
    setTimeout(() => answer(false), ANSWER_MILLISECONDS);
    channel.postMessage({ looking: true });
  }).finally(() => (asking = null));
  return asking;
};

const notify = async (job) => {
  if (window.Notification?.permission !== 'granted' || (await someoneLooks())) return;
  const took = duration(job.finished_at - (job.started_at ?? job.created_at));
  try {
    const notice = new Notification(job.title, { body: `${STATES[job.state]} after ${took}.`, tag: job.id });
    notice.addEventListener('click', () => {
      window.focus();
      if (job.thread_id) location.assign(`/thread/${encodeURIComponent(job.thread_id)}`);
    });
  } catch {
    // This browser shows notices of service workers only.
  }
};

let leads = false;
let pause = FIRST_PAUSE;
let before = new Map(); // what ran when the last stream ended

const hear = (job) => {
  const ran = jobs.has(job.id) || before.has(job.id);
  before.delete(job.id);
  if (isLive(job)) jobs.set(job.id, { ...job, at: now() });
  else jobs.delete(job.id);
  if (ran && job.finished_at && job.finished_at - job.created_at >= LONG_SECONDS) notify(job); // not if it was deleted
  share();
};

// Each stream begins with all that run.
const begin = () => {
  pause = FIRST_PAUSE;
  before = new Map([...before, ...jobs]);
  jobs.clear();
  share();
};

const followOnce = () =>
  new Promise((ended) => {
    const feed = new EventSource('/api/events');
    feed.addEventListener('open', begin);
    feed.addEventListener('job', ({ data }) => hear(JSON.parse(data)));
    feed.addEventListener('error', () => feed.readyState === EventSource.CLOSED && ended());
  });

const followAll = async () => {
  leads = true;
  for (;;) {
    await followOnce();
    await new Promise((resume) => setTimeout(resume, pause));
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  }
};

channel.addEventListener('message', ({ data }) => {
  if (data.threads) draw(data.threads);
  if (data.list) listAnew();
  if (data.places) place(data.places);
  if (data.looking && document.visibilityState === 'visible') channel.postMessage({ seen: true });
  if (data.hello && leads) share();
  if (data.seen) seen();
});
channel.postMessage({ hello: true });

// Browsers offer locks and notices on https and localhost only. Elsewhere the page has neither dots nor notices.
connected.then(() => navigator.locks?.request('longhaul-feed', followAll));

// Asked for where it is of use: beside a job that takes long.
export const canAsk = (job, now) =>
  window.isSecureContext &&
  window.Notification?.permission === 'default' &&
  job.state !== 'queued' &&
  now - job.created_at >= LONG_SECONDS;

export const ask = () => Notification.requestPermission();

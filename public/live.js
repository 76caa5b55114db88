// What the server says of jobs, read from the page's own socket. Cards and dock show what is kept here, so that nothing
// said before they are drawn is lost, and nothing is drawn anew because something was said.
const EVENT = '42["longhaul",';
const BEGINS = '42["first_interaction",';
const SIGN = '42["stream_token",';

const jobs = new Map();
const listeners = new Set();
let places = new Map();
let running = [];
let behind = 0;

const tell = () => listeners.forEach((listener) => listener());

export const follow = (listener) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

// The server's time.
export const now = () => Date.now() / 1000 - behind;

// The turns of this thread that have not ended, in their order.
export const active = () => running.map((id) => jobs.get(id)).filter((one) => one && one.finished_at === undefined);

// `last_at` is the time of the last event in the log, `heard_at` that of the last sign of life.
const merge = (card) => {
  const known = jobs.get(card.job_id);
  const steps = new Map((known?.steps ?? []).map((step) => [step.id, step]));
  for (const step of card.steps ?? []) steps.set(step.id, step);
  const whole = { sources: known?.sources ?? [], heard_at: card.last_at, ...card, steps: [...steps.values()] };
  if (whole.state === 'queued') Object.assign(whole, places.get(card.job_id));
  jobs.set(card.job_id, whole);
  return whole;
};

// A card as it was stored may be older than what came by the socket.
export const keep = (card) => {
  const known = jobs.get(card.job_id);
  return known && known.last_at >= card.last_at ? known : merge(card);
};

// Where waiting jobs stand in the queue: their own logs do not say. It may be heard before their cards are.
export const place = (all) => {
  places = new Map(all.map(({ id, ahead, wait, at }) => [id, { ahead, wait, wait_at: at }]));
  for (const id of places.keys()) {
    const job = jobs.get(id);
    if (job?.state === 'queued') jobs.set(id, { ...job, ...places.get(id) });
  }
  if (all.length) tell();
};

const LEAVE_MILLISECONDS = 1500;

// What is sent in a deleted thread would begin it again.
const leave = (thread) =>
  setTimeout(() => location.pathname.endsWith(`/thread/${thread}`) && location.assign('/'), LEAVE_MILLISECONDS);

const take = ({ now: there, job: card, running: cards, gone }) => {
  behind = Date.now() / 1000 - there;
  if (card) merge(card);
  if (gone) leave(gone);
  if (cards) {
    cards.forEach(merge);
    running = cards.map((one) => one.job_id);
  }
  tell();
};

// The page gives a conversation its address, by which a reload finds it again, only where it draws the list of
// conversations: not on a phone. The address alone is changed, as going there would draw the conversation anew.
const begin = (thread) => {
  begun = thread ?? begun;
  if (!begun || location.pathname !== '/' || document.querySelector('#thread-history')) return;
  history.replaceState(history.state, '', `/thread/${encodeURIComponent(begun)}`);
};

const hear = (frame) => {
  if (typeof frame !== 'string') return;
  if (frame.startsWith(EVENT)) take(JSON.parse(frame.slice(2))[1]);
  else if (frame.startsWith(BEGINS)) begin(JSON.parse(frame.slice(2))[1].thread_id);
  else if (frame.startsWith(SIGN)) {
    const [first] = active();
    if (first) first.heard_at = now();
  }
};

let socket = null;
let lists = 0;
let begun; // the conversation that this page has begun, before its address says so
// The page asks for its list of conversations when it hears that one has begun. It takes the one that is named for the one
// that it shows.
export const listAnew = () => {
  const [, open] = location.pathname.match(/\/thread\/([^/]+)/) ?? [];
  const thread = open ? decodeURIComponent(open) : begun;
  const told = { interaction: `list ${(lists += 1)}`, thread_id: thread };
  socket?.dispatchEvent(new MessageEvent('message', { data: `${BEGINS}${JSON.stringify(told)}]` }));
};

let told;
// Whoever has a socket is logged in.
export const connected = new Promise((resolve) => (told = resolve));

const Socket = window.WebSocket;
window.WebSocket = class extends Socket {
  constructor(address, ...rest) {
    super(address, ...rest);
    if (!String(address).includes('/ws/socket.io/')) return;
    begun = undefined;
    running = []; // another thread, or this one anew: the server says what runs
    tell();
    this.addEventListener('open', () => {
      socket = this;
      told();
    });
    this.addEventListener('message', ({ data }) => hear(data));
  }
};

// Returns the sentence of a refusal, or nothing.
export const call = async (method, path, content, key) => {
  const headers = { 'Content-Type': 'application/json', ...(key && { 'Idempotency-Key': key }) };
  const body = content && { body: JSON.stringify(content), headers };
  const answer = await fetch(`/api/jobs${path && `/${path}`}`, { method, ...body }).catch(() => null);
  if (answer?.ok) return '';
  const refusal = (await answer?.json().catch(() => null)) ?? {};
  return refusal.error?.message ?? 'The server did not answer; try again.';
};

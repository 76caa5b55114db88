// What people read about a job. The server sends codes and numbers.
export const STATES = {
  queued: 'Queued',
  working: 'Working',
  waiting: 'Waiting',
  stalled: 'Stalled',
  stopping: 'Stopping',
  completed: 'Done',
  cancelled: 'Stopped',
  failed: 'Failed',
  incomplete: 'Incomplete',
};

const LIVE = new Set(['queued', 'working', 'waiting', 'stalled', 'stopping']);

export const isLive = ({ state }) => LIVE.has(state);

export const hasEnded = (job) => job.finished_at !== undefined;

export const canRetry = ({ state }) => ['failed', 'cancelled', 'incomplete'].includes(state);

export const duration = (seconds) => {
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
};

// Elapsed time that ticks each second: tenths would flicker.
export const elapsed = (seconds) => (seconds < 60 ? `${Math.max(0, Math.floor(seconds))} s` : duration(seconds));

export const clock = (at) => new Date(at * 1000).toLocaleTimeString([], { hour12: false });

export const sizeOf = (bytes) =>
  bytes < 1e3 ? `${bytes} B` : bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

const number = (value, digits = 1) => value.toLocaleString('en-US', { maximumFractionDigits: digits });

export const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? '' : 's'}`;

const WAITS = {
  rate_limited: 'the model endpoint accepts no more requests for now',
  endpoint_failed: 'the model endpoint is failing',
  slot: 'this machine is busy',
};

// A working job one of whose tools has been silent for much longer than usual.
export const stateOf = (job, now) =>
  job.state === 'working' && job.stalled_at !== undefined && now >= job.stalled_at ? 'stalled' : job.state;

export const doing = (job, now) => {
  if (job.state === 'queued' && job.unserved) {
    return `no running worker has '${job.unserved}': start one, or check that its file loads`;
  }
  if (job.state === 'queued') return job.ahead ? `${counted(job.ahead, 'job')} ahead` : 'waiting for a worker';
  if (job.state === 'waiting') {
    const again = job.until ? `; next try ${job.until > now ? `in ${elapsed(job.until - now)}` : 'now'}` : '';
    return `${WAITS[job.reason] ?? 'waiting'}${again}`;
  }
  if (hasEnded(job)) return job.why ?? '';
  switch (job.doing?.what) {
    case 'writing':
      return 'writing the answer';
    case 'tool':
      return job.doing.name;
    default:
      return 'thinking';
  }
};

// A report of a tool usually counts in its own words; otherwise the numbers are put before them.
export const progressOf = ({ done, total, message }) => {
  const count = total ? `${number(done)} of ${number(total)}` : done ? number(done) : '';
  if (!message || message.includes(count)) return message || count;
  return count ? `${count} · ${message}` : message;
};

const rough = (seconds) => {
  if (seconds < 10) return 'a few seconds';
  if (seconds < 60) return `${Math.ceil(seconds / 10) * 10} s`;
  return seconds < 3600 ? `${Math.ceil(seconds / 60)} min` : `${number(seconds / 3600)} h`;
};

// How much is done, in percent; null without a total.
export const percentOf = (progress) =>
  progress?.total ? Math.min(100, (100 * progress.done) / progress.total) : null;

const range = (seconds, passed) => {
  const [low, high] = seconds.map((one) => rough(Math.max(0, one - passed)));
  return (low === high ? `about ${low}` : `about ${low} to ${high}`).replace('about a few', 'a few');
};

// When a waiting job starts, as a range.
export const starts = ({ state, unserved, wait, wait_at: at }, now) => {
  if (state !== 'queued' || unserved || !at) return ''; // no estimate was sent yet
  return wait ? `starts in ${range(wait, now - at)}` : 'no estimate yet';
};

// The time left, as a range: what half of such calls take, and nine of ten.
export const left = ({ total, eta, at }, now) => {
  if (!total) return '';
  if (!eta) return 'no estimate yet';
  return `${range(eta, now - at)} left`;
};

const ENDS = {
  worker_died: 'A worker died',
  handed_over: 'A worker was shut down',
  stalled: 'A worker stopped responding',
};

export const crash = ({ at, after, pause_seconds: pause, kept, again }) => {
  const work = kept || again ? `: ${counted(kept, 'finished step')} kept, ${number(again)} started again` : '';
  return `${ENDS[after]} at ${clock(at)}. Continued after ${duration(pause)}${work}.`;
};

export const receipt = ({ ms, what, done, total, unit }) => {
  if (!what.length) return 'Stopped before it began.';
  const names = what.map((name) => (name === 'model' ? 'the answer' : name)).join(', ');
  const place = total ? ` at ${unit ? `${unit.replace(/s$/, '')} ` : ''}${number(done)} of ${number(total)}` : '';
  const within = ms < 1000 ? `${number(Math.max(1, ms))} ms` : duration(ms / 1000);
  return `Stopped ${names}${place}, within ${within}.${total ? ' Retry continues from there.' : ''}`;
};

export const money = (amount) => number(amount, amount < 1 ? 4 : 2);

export const tokens = ({ input_tokens: read = 0, output_tokens: written = 0 }) =>
  `${number(read)} tokens read, ${number(written)} written`;

// The dock above the composer: what runs in this thread, and Stop; the link to all jobs in the header. The composer itself
// stays free for the next message.
import { active, call, follow, now } from './live.js';
import { ask, canAsk } from './feed.js';
import { doing, elapsed, percentOf, progressOf, STATES, stateOf } from './words.js';

const dock = document.createElement('div');
dock.id = 'longhaul-dock';
dock.role = 'region';
dock.ariaLabel = 'Running jobs and waiting messages';
dock.hidden = true;
const rows = new Map();
const { title } = document;

const jobsLink = Object.assign(document.createElement('a'), { id: 'jobs-link', href: '/jobs', textContent: 'Jobs' });

const settle = () => {
  const theme = document.querySelector('#theme-toggle');
  if (theme && theme.previousElementSibling !== jobsLink) theme.before(jobsLink);
  const composer = document.querySelector('#message-composer');
  if (composer && composer.previousElementSibling !== dock) composer.before(dock);
};

const stop = async (id) => {
  const row = rows.get(id);
  row.asked = true;
  draw();
  row.problem = await (row.line.dataset.state === 'queued' ? call('DELETE', id) : call('POST', `${id}/cancel`));
  row.asked = !row.problem;
  draw();
};

const tryNow = async (id) => {
  const row = rows.get(id);
  row.again.disabled = true;
  row.problem = await call('POST', `${id}/try-now`);
  row.again.disabled = false;
  draw();
};

// Enter saves and Escape leaves, as everywhere; Shift+Enter begins a new line.
const openEditor = (id, words) => {
  const row = rows.get(id);
  const form = document.createElement('form');
  const area = Object.assign(document.createElement('textarea'), { value: words, ariaLabel: 'Edited message', rows: 2 });
  const save = Object.assign(document.createElement('button'), { type: 'submit', textContent: 'Save' });
  const leave = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Cancel' });
  const close = () => {
    form.remove();
    row.problem = '';
    draw();
    row.edit.focus();
  };
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    row.problem = await call('PATCH', id, { input: area.value });
    if (row.problem) draw();
    else close();
  });
  form.addEventListener('keydown', (event) => {
    if (event.isComposing) return;
    if (event.key === 'Escape') close();
    else if (event.key === 'Enter' && !event.shiftKey && event.target === area) form.requestSubmit();
    else return;
    event.preventDefault();
  });
  leave.addEventListener('click', close);
  form.append(area, save, leave);
  row.line.append(form);
  draw();
  area.focus();
};

const makeRow = (job) => {
  const line = document.createElement('div');
  const tags = ['span', 'strong', 'span', 'span', 'button', 'button'];
  const [mark, state, what, time, edit, button] = tags.map((tag) => document.createElement(tag));
  edit.type = 'button';
  edit.textContent = 'Edit';
  edit.dataset.testid = 'job-edit';
  mark.className = 'job-mark';
  mark.ariaHidden = 'true';
  what.className = 'job-doing';
  time.className = 'job-time';
  button.type = 'button';
  what.role = 'status';
  button.addEventListener('click', () => stop(job.job_id));
  const again = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Try now' });
  again.title = 'Ask the model endpoint again now';
  again.dataset.testid = 'job-try-now';
  again.addEventListener('click', () => tryNow(job.job_id));
  const notice = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Notify me' });
  notice.title = 'Show a notification when this ends, if this page is in the background';
  notice.addEventListener('click', () => ask().then(draw));
  line.append(mark, state, what, time, button);
  return { again, notice, line, state, what, time, edit, button, asked: false, problem: '' };
};

const fill = (row, job, place) => {
  const waits = job.state === 'queued';
  const { line, state, what, time, edit, button } = row;
  if (!waits || job.input === undefined || line.querySelector('form')) edit.remove();
  else if (!edit.isConnected) button.before(edit);
  const save = line.querySelector('[type=submit]');
  if (save && !waits) {
    save.disabled = true;
    row.problem = 'This message is being answered already. Your edited text is kept here until you cancel.';
  }
  edit.ariaLabel = `Edit: message ${place}`;
  edit.onclick = () => openEditor(job.job_id, job.input);
  line.dataset.state = stateOf(job, now());
  line.dataset.jobId = job.job_id;
  state.textContent = STATES[line.dataset.state] ?? job.state;
  const progress = job.progress && !waits ? progressOf(job.progress) : '';
  const words = waits && job.input ? `“${job.input.slice(0, 80)}”` : '';
  const told = row.problem || [words, doing(job, now()), progress].filter(Boolean).join(' · ');
  if (what.textContent !== told) what.textContent = told;
  time.textContent = elapsed(now() - job.created_at);
  if (job.state !== 'waiting' || !job.until) row.again.remove();
  else if (!row.again.isConnected) button.before(row.again);
  if (!canAsk(job, now())) row.notice.remove();
  else if (!row.notice.isConnected) button.before(row.notice);
  button.textContent = waits ? 'Remove' : 'Stop';
  button.ariaLabel = `${button.textContent}: ${waits ? `message ${place}` : doing(job, now())}`;
  button.dataset.testid = waits ? 'job-remove' : 'job-stop';
  button.disabled = row.asked || job.state === 'stopping';
};

// A ring that fills, in place of the page's icon.
const icon = document.querySelector('link[rel~=icon]');
const plain = icon?.href;
const drawRing = (share) => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 32, height: 32 });
  const pen = canvas.getContext('2d');
  const arc = (from, to, colour) => {
    pen.beginPath();
    pen.arc(16, 16, 12, (from - 0.25) * 2 * Math.PI, (to - 0.25) * 2 * Math.PI);
    pen.lineWidth = 7;
    pen.strokeStyle = colour;
    pen.stroke();
  };
  arc(0, 1, '#94a3b855');
  arc(0, share, '#0b5f84');
  return canvas.toDataURL();
};

let drawn = null;
const tellIcon = (percent) => {
  if (!icon || percent === drawn) return;
  drawn = percent;
  icon.href = percent === null ? plain : drawRing(percent / 100);
};

const tellTitle = (job, percent) => {
  const bare = document.title.replace(/^(● |\d+ % · )/, '') || title;
  const wanted = job ? `${percent === null ? '●' : `${percent} % ·`} ${bare}` : bare;
  if (document.title !== wanted) document.title = wanted;
};

const draw = () => {
  const jobs = active();
  for (const [id, { line }] of rows) {
    // Words that are being edited outlive a lost connection, and the job.
    if (!jobs.some((job) => job.job_id === id) && !line.querySelector('form')) {
      line.remove();
      rows.delete(id);
    }
  }
  for (const [index, job] of jobs.entries()) {
    if (!rows.has(job.job_id)) {
      rows.set(job.job_id, makeRow(job));
      dock.append(rows.get(job.job_id).line);
    }
    fill(rows.get(job.job_id), job, index);
  }
  dock.hidden = rows.size === 0;
  const done = percentOf(jobs[0]?.progress);
  const percent = done === null ? null : Math.floor(done);
  tellTitle(jobs[0], percent);
  tellIcon(percent);
};

document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || event.defaultPrevented || event.isComposing || event.repeat) return;
  if (document.querySelector('[role=dialog], [role=menu], [role=listbox]')) return; // Escape closes that
  if (event.target.matches?.('input, textarea:not(#chat-input), select')) return;
  for (const { line, button } of rows.values()) {
    if (line.dataset.state !== 'queued') return button.click();
  }
});

new MutationObserver(settle).observe(document, { childList: true, subtree: true });
follow(draw);
setInterval(() => rows.size && draw(), 1000);

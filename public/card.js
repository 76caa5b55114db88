// The job card: a React component, made with the React of the page.
import { call, follow, keep, now } from './live.js';
import {
  canRetry,
  clock,
  counted,
  crash,
  doing,
  duration,
  elapsed,
  hasEnded,
  left,
  money,
  percentOf,
  progressOf,
  receipt,
  sizeOf,
  starts,
  stateOf,
  STATES,
  tokens,
} from './words.js';

const SILENT_SECONDS = 10;
const newKey = () => `again-${Date.now()}-${Math.random().toString(36).slice(2)}`;
// The turn's form listens. Each opening of it begins one job.
const change = (id) => window.dispatchEvent(new CustomEvent('longhaul-change', { detail: { job: id, key: newKey() } }));
const chosen = new Map(); // what a person opened or closed, by job: a card may be drawn anew

const make = ({ createElement: h, Fragment, useEffect, useReducer, useState }) => {
  const useJob = (props) => {
    const [, redraw] = useReducer((count) => count + 1, 0);
    useEffect(() => follow(redraw), []);
    const job = keep(props);
    const ended = hasEnded(job);
    useEffect(() => {
      if (ended) return undefined;
      const timer = setInterval(redraw, 1000);
      return () => clearInterval(timer);
    }, [ended]);
    return job;
  };

  const Line = ({ job, open, toggle }) => {
    const ended = hasEnded(job);
    const time = (ended ? job.finished_at : now()) - job.created_at;
    const silent = now() - job.heard_at;
    return h(
      'header',
      null,
      h('span', { className: 'job-mark', 'aria-hidden': true }),
      h('span', { role: 'status' }, h('strong', null, STATES[stateOf(job, now())] ?? job.state)),
      h('span', { className: 'job-doing', 'data-testid': 'job-doing' }, doing(job, now())),
      h(
        'span',
        { className: 'job-time' },
        ended ? duration(time) : elapsed(time),
        !ended && silent >= SILENT_SECONDS ? ` · silent for ${elapsed(silent)}` : '',
      ),
      h('button', { type: 'button', className: 'job-toggle', 'aria-expanded': open, onClick: toggle }, 'Details'),
    );
  };

  const Progress = ({ progress, stalled }) => {
    const percent = percentOf(progress);
    return h(
      'div',
      { className: 'job-progress' },
      percent !== null &&
        h(
          'div',
          {
            'data-testid': 'job-progress',
            role: 'progressbar',
            'aria-label': 'Progress',
            'aria-valuenow': Math.round(percent),
            'aria-valuemin': 0,
            'aria-valuemax': 100,
          },
          h('div', { style: { width: `${percent}%` } }),
        ),
      h(
        'p',
        null,
        progressOf(progress),
        !stalled && h('span', { className: 'job-eta', 'data-testid': 'job-eta' }, left(progress, now())),
      ),
    );
  };

  const Plan = ({ items }) =>
    h(
      'ul',
      { className: 'job-plan', 'aria-label': 'Plan' },
      items.map((item, index) =>
        h(
          'li',
          { key: index, 'data-status': item.status, 'aria-current': item.status === 'active' ? 'step' : undefined },
          item.text,
          h('span', { className: 'job-unseen' }, ` (${item.status})`),
        ),
      ),
    );

  const Lines = ({ lines }) =>
    h(
      'ul',
      { className: 'job-log', 'data-testid': 'job-log' },
      lines.map(([level, message], index) => h('li', { key: index, 'data-level': level }, message)),
    );

  const NAMES = { model: 'Model', reasoning: 'Reasoning' };

  const Step = ({ step }) => {
    const builtIn = step.kind === 'model' && step.name === 'offline';
    const name = builtIn ? 'Built-in answer' : (NAMES[step.kind] ?? step.name);
    const parts = step.parts ? counted(step.parts_done ?? 0, 'part').replace(/ parts?$/, ` of ${step.parts} parts`) : '';
    const summary = [
      h('span', { key: 'mark', className: 'job-mark', 'aria-hidden': true }),
      h('span', { key: 'name', className: 'job-step-name' }, name, h('span', { className: 'job-unseen' }, ` (${step.state})`)),
      h('span', { key: 'parts' }, [step.kind === 'model' && !builtIn ? step.name : '', parts].filter(Boolean).join(' · ')),
      h('span', { key: 'time', className: 'job-time' }, step.seconds === undefined ? '' : duration(step.seconds)),
    ];
    const attributes = { 'data-state': step.state, 'data-kind': step.kind, 'data-testid': 'job-step' };
    if (!step.arguments && !step.result && !step.log) return h('li', attributes, h('div', { className: 'job-step' }, summary));
    return h(
      'li',
      attributes,
      h(
        'details',
        null,
        h('summary', { className: 'job-step' }, summary),
        step.arguments && h('pre', { 'aria-label': `Arguments of ${name}` }, step.arguments),
        step.log && h(Lines, { lines: step.log }),
        step.result && step.kind === 'reasoning' && h('p', { className: 'job-reasoning' }, step.result),
        step.result && step.kind !== 'reasoning' && h('pre', { 'aria-label': `Result of ${name}` }, step.result),
      ),
    );
  };

  const Source = ({ source }) => {
    const page = source.page ? `, page ${source.page}` : '';
    const address = source.url ?? (source.file_id && `/project/file/${source.file_id}${source.page ? `#page=${source.page}` : ''}`);
    const safe = address && (address.startsWith('/project/') || /^https?:/.test(address));
    return h('li', null, safe ? h('a', { href: address, target: '_blank', rel: 'noreferrer' }, source.title + page) : source.title + page);
  };

  const Files = ({ files }) =>
    h(
      'ul',
      { className: 'job-files', 'aria-label': 'Files' },
      files.map((file) =>
        h('li', { key: file.name }, h('a', { href: file.url, download: file.name }, file.name), ` ${sizeOf(file.size)}`),
      ),
    );

  const Actions = ({ job }) => {
    const [problem, setProblem] = useState('');
    const [busy, setBusy] = useState(false);
    const [againKey, setAgainKey] = useState(newKey);
    const retry = async () => {
      setBusy(true);
      setProblem(await call('POST', `${job.job_id}/retry`));
      setBusy(false);
    };
    const again = async () => {
      setBusy(true);
      // The same key until it is accepted: an answer that was lost begins no second job.
      const problem = await call('POST', '', { ...job.request, thread_id: job.thread_id }, againKey);
      setProblem(problem);
      if (!problem) setAgainKey(newKey());
      setBusy(false);
    };
    const retries = canRetry(job);
    if (job.form_open || (!retries && job.task === 'chat')) return null;
    const button = (name, attributes) => h('button', { type: 'button', disabled: busy, ...attributes }, name);
    return h(
      'footer',
      null,
      retries && button('Retry', { 'data-testid': 'job-retry', onClick: retry, title: 'Continue from the last finished step' }),
      job.task !== 'chat' && button('Change arguments', { onClick: () => change(job.job_id), title: 'Open the form with these arguments' }),
      job.request && button('Run again', { 'data-testid': 'job-again', onClick: again, title: 'Start again, as a new job' }),
      h('span', { role: 'status' }, problem),
    );
  };

  const Details = ({ job }) =>
    h(
      Fragment,
      null,
      job.plan && h(Plan, { items: job.plan }),
      job.steps.length > 0 &&
        h('ol', { className: 'job-steps', 'data-testid': 'job-steps', 'aria-label': 'Steps' }, job.steps.map((step) => h(Step, { key: step.id, step }))),
      job.sources.length > 0 && h('ul', { className: 'job-sources', 'aria-label': 'Sources' }, job.sources.map((source, index) => h(Source, { key: index, source }))),
      h(
        'p',
        { className: 'job-facts' },
        [`${job.started_at ? 'Started' : 'Asked'} ${clock(job.started_at ?? job.created_at)}`, job.tokens && tokens(job.tokens), job.cost !== undefined && `cost ${money(job.cost)}`].filter(Boolean).join(' · '),
      ),
    );

  return (props) => {
    const job = useJob(props);
    const [, redraw] = useReducer((count) => count + 1, 0);
    const ended = hasEnded(job);
    const open = chosen.get(job.job_id) ?? !ended;
    const toggle = () => {
      chosen.set(job.job_id, !open);
      redraw();
    };
    return h(
      'section',
      { className: 'job-card', 'data-testid': 'job-card', 'data-job-id': job.job_id, 'data-state': stateOf(job, now()), 'aria-label': 'Job' },
      h(Line, { job, open, toggle }),
      job.state === 'queued' && h('p', { className: 'job-eta', 'data-testid': 'job-queue' }, starts(job, now())),
      !ended && job.progress && h(Progress, { progress: job.progress, stalled: stateOf(job, now()) === 'stalled' }),
      job.resumed && h('p', { className: 'job-resumed', 'data-testid': 'job-resumed' }, crash(job.resumed)),
      job.receipt && h('p', { 'data-testid': 'job-stopped' }, receipt(job.receipt)),
      job.notes && h(Lines, { lines: job.notes }),
      open && h(Details, { job }),
      job.files && h(Files, { files: job.files }),
      ended && h(Actions, { job }),
    );
  };
};

let Card = null;
window.longhaul = { card: (React) => (Card ??= make(React)) };

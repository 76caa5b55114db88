// Copy takes the whole answer, as it was written. The page would take its last message alone, prepared for display.
const SHOWN_MILLISECONDS = 2000;

// A clipboard needs https or localhost, and takes what is still on its way. Elsewhere a hidden field has to do.
const write = async (text, html) => {
  if (navigator.clipboard?.write) {
    const blob = (type, content) => Promise.resolve(content).then((whole) => new Blob([whole], { type }));
    const item = { 'text/plain': blob('text/plain', text), 'text/html': blob('text/html', html) };
    return navigator.clipboard.write([new ClipboardItem(item)]);
  }
  const area = Object.assign(document.createElement('textarea'), { value: await text });
  const focused = document.activeElement;
  area.style.position = 'fixed';
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  focused?.focus();
  if (!done) throw new Error('not copied');
};

const answerOf = async (root) => {
  const answer = await fetch(`/project/answer/${encodeURIComponent(root)}`);
  if (!answer.ok) throw new Error('no answer');
  return answer.text();
};

const timers = new WeakMap();

const tell = (button, word) => {
  clearTimeout(timers.get(button));
  button.dataset.copied = word;
  button.ariaLabel = word;
  const forget = () => {
    delete button.dataset.copied;
    button.ariaLabel = 'Copy';
  };
  timers.set(button, setTimeout(forget, SHOWN_MILLISECONDS));
};

// Leaves out buttons, and the second drawing of each formula.
const htmlOf = (part) => {
  const copy = part.cloneNode(true);
  for (const extra of copy.querySelectorAll('.katex-html, button, [aria-hidden=true]')) extra.remove();
  return copy.innerHTML;
};

document.addEventListener(
  'click',
  (event) => {
    const button = event.target.closest('button:has(> svg.lucide-copy)');
    const message = button?.closest('[id^="step-job_"]');
    if (!message || button.closest('.message-content, [data-step-type=user_message]')) return;
    event.stopPropagation();
    const [root] = message.id.slice('step-'.length).split(':');
    const parts = [...document.querySelectorAll(`[id^="step-${CSS.escape(root)}:"] .message-content`)];
    const html = parts.filter((part) => !part.querySelector('.job-card')).map(htmlOf).join('\n');
    write(answerOf(root), html).then(
      () => tell(button, 'Copied'),
      () => tell(button, 'Not copied'),
    );
  },
  true,
);

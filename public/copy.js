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
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (!done) throw new Error('not copied');
};

const answerOf = async (root) => {
  const answer = await fetch(`/project/answer/${encodeURIComponent(root)}`);
  if (!answer.ok) throw new Error('no answer');
  return answer.text();
};

const tell = (button, word) => {
  const { ariaLabel } = button;
  button.dataset.copied = word;
  button.ariaLabel = word;
  setTimeout(() => {
    delete button.dataset.copied;
    button.ariaLabel = ariaLabel;
  }, SHOWN_MILLISECONDS);
};

document.addEventListener(
  'click',
  (event) => {
    const button = event.target.closest('button:has(> svg.lucide-copy)');
    const message = button?.closest('[id^="step-job_"]');
    if (!message || button.closest('.message-content, [data-step-type=user_message]')) return;
    event.stopPropagation();
    const [root] = message.id.slice('step-'.length).split(':');
    const parts = document.querySelectorAll(`[id^="step-${CSS.escape(root)}:"] .message-content`);
    const html = [...parts].map((part) => part.innerHTML).join('\n');
    write(answerOf(root), html).then(
      () => tell(button, 'Copied'),
      () => tell(button, 'Not copied'),
    );
  },
  true,
);

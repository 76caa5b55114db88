// Names and roles that the page leaves out: without them a screen reader says "button" and nothing else. And the
// direction of an answer, from its first letter.
const NAMES = {
  '#sidebar-trigger-button': 'Show or hide the conversations',
  '#search-chats-button': 'Search the conversations',
  '#new-chat-button': 'New conversation',
  '#upload-button': 'Attach files',
  '#chat-submit': 'Send',
  'button:has(> svg.lucide-copy)': 'Copy',
  'button:has(> svg.lucide-arrow-down)': 'Go to the newest message',
  'button[class*="positive-feedback"]': 'Good answer',
  'button[class*="negative-feedback"]': 'Bad answer',
  '#user-nav-button': 'Account',
  'button:has(> svg.lucide-eye)': 'Show the password',
  'button:has(> svg.lucide-eye-off)': 'Hide the password',
};
const READABLE = 'Attach PDF, Word, HTML, Markdown or text documents, or CSV, Excel or Parquet tables.';

// Of a file that it refuses, the page says all types that it accepts.
const tellRefusal = () => {
  for (const title of document.querySelectorAll('[data-sonner-toast] [data-title]')) {
    if (title.textContent.startsWith('File type must be')) title.textContent = `This kind of file cannot be read. ${READABLE}`;
  }
};

// Where nobody logs in, nobody can log out.
const hideLogout = () => {
  const leave = document.querySelector('[role=menuitem]:has(svg.lucide-log-out)');
  if (leave?.parentElement.querySelector('p')?.textContent === 'local') leave.style.display = 'none';
};

const QUIET_MILLISECONDS = 300;

const name = () => {
  for (const [selector, label] of Object.entries(NAMES)) {
    for (const button of document.querySelectorAll(`${selector}:not([aria-label])`)) button.setAttribute('aria-label', label);
  }
  for (const content of document.querySelectorAll('.message-content:not([dir])')) content.setAttribute('dir', 'auto');
  document.querySelector('img[alt="Image"]')?.setAttribute('alt', ''); // the login page's picture
  document.querySelector('#upload-button[role]')?.removeAttribute('role');
  // Screen readers expect the entries of a list right below it. Here, frames stand between them.
  for (const list of document.querySelectorAll('ul:has(> div):not([role])')) {
    list.setAttribute('role', 'none');
    for (const entry of list.querySelectorAll('ul, li')) entry.setAttribute('role', 'none');
  }
  for (const menu of document.querySelectorAll('#thread-options[aria-expanded]')) menu.removeAttribute('aria-expanded');
};

// Enter in the one field of a dialog confirms it, as everywhere.
document.addEventListener('keydown', (event) => {
  const dialog = event.target.matches?.('input') && event.target.closest('[role=dialog]');
  if (event.key !== 'Enter' || event.isComposing || !dialog || dialog.querySelector('form, [cmdk-root]')) return;
  if (dialog.querySelectorAll('input').length > 1) return;
  event.preventDefault();
  [...dialog.querySelectorAll('button')].find((button) => button.textContent === 'Confirm')?.click();
});

let waiting = false;
// A streamed answer changes the page with each word: the whole page is looked at once in a while.
new MutationObserver(() => {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    name();
    tellRefusal();
    hideLogout();
  }, QUIET_MILLISECONDS);
}).observe(document, { childList: true, subtree: true });

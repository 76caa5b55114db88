import './access.js';
import './card.js';
import './copy.js';
import './dock.js';
import './feed.js';
import { linkPictures } from './pictures.js';
import './scroll.js';

linkPictures(document);

// Seen on a busy machine: a page that opens a conversation shows its spinner for ever. It loads again, once, if the server is
// there.
const WAITING_MILLISECONDS = 12_000;
const AGAIN = 'longhaul.loaded-again';
setTimeout(async () => {
  const waits = location.pathname.startsWith('/thread/') && !document.querySelector('#chat-input');
  if (!waits || sessionStorage.getItem(AGAIN) === location.pathname) return sessionStorage.removeItem(AGAIN);
  sessionStorage.setItem(AGAIN, location.pathname);
  const { ok } = await window.fetch('/healthz').catch(() => ({ ok: false }));
  if (ok) location.reload();
}, WAITING_MILLISECONDS);

// An attached PDF opens, as one that is cited does; the page would only save it.
document.addEventListener(
  'click',
  ({ target }) => {
    const link = target.closest?.('a[download$=".pdf" i]');
    if (link && new URL(link.href).pathname.startsWith('/project/file/')) link.removeAttribute('download');
  },
  true,
);

// The page would begin dark, whatever the system prefers.
try {
  if (localStorage.getItem('vite-ui-theme') === null) localStorage.setItem('vite-ui-theme', 'system');
} catch {
  // Storage is forbidden: it stays dark.
}

// The page asks who the user is whenever the network is back. It takes any failure for a logout: it then reloads and
// loses what was typed. This wrapper repeats the request until the server answers.
const { fetch } = window;
const AWAY = [502, 503, 504];
window.fetch = async (resource, options) => {
  const { origin, pathname } = new URL(resource.url ?? resource, document.baseURI);
  const method = options?.method ?? resource.method ?? 'GET';
  if (method !== 'GET' || origin !== location.origin || !pathname.endsWith('/user')) return fetch(resource, options);
  const signal = options?.signal ?? resource.signal;
  for (;;) {
    const answer = fetch(resource, options);
    const { status } = await answer.catch(() => ({ status: 503 }));
    if (!AWAY.includes(status) || signal?.aborted) return answer;
    await new Promise((resume) => setTimeout(resume, 1000));
  }
};

// The page draws its composer before it knows who is there, and again when it does: what was typed in between was lost.
// This carries it over. Soon after the page is connected, nothing is drawn anew any more, and this has done its work.
(() => {
  const write = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set;
  const SETTLED_MILLISECONDS = 3000;
  const MAX_MILLISECONDS = 60_000;
  let composer = null;
  let typed = '';
  let settled = null;

  const listen = (event) => {
    if (event.target.id === 'chat-input') typed = event.target.value;
  };

  const look = () => {
    const found = document.querySelector('#chat-input');
    if (found && found !== composer) {
      if (composer && typed && !found.value) {
        write.call(found, typed);
        found.dispatchEvent(new Event('input', { bubbles: true }));
        found.setSelectionRange(typed.length, typed.length);
      }
      composer = found;
    }
    // Files can be attached only over a connection. Modes and commands come right behind it, and draw the composer anew.
    if (found && document.querySelector('#upload-button')) settled ??= setTimeout(end, SETTLED_MILLISECONDS);
  };

  const forget = (event) => {
    const sends = event.type === 'click' ? event.target.closest('#chat-submit, #starters, a, [role=menuitem]') : event.key === 'Enter' && !event.shiftKey;
    if (sends) typed = '';
  };

  const end = () => {
    observer.disconnect();
    document.removeEventListener('input', listen, true);
    document.removeEventListener('click', forget, true);
    document.removeEventListener('keydown', forget, true);
  };

  const observer = new MutationObserver(look);
  document.addEventListener('input', listen, true);
  document.addEventListener('click', forget, true);
  document.addEventListener('keydown', forget, true);
  setTimeout(end, MAX_MILLISECONDS);
  observer.observe(document, { childList: true, subtree: true });
})();

// A link into a thread leads a stranger to the login page, which goes to the first page afterwards. This goes on to the
// thread instead. It is kept in the session: an OAuth login comes back from another site.
(() => {
  const KEY = 'longhaul.asked-for';
  if (location.pathname === '/login' && document.referrer) {
    const { origin, pathname } = new URL(document.referrer);
    if (origin === location.origin && pathname.startsWith('/thread/')) sessionStorage.setItem(KEY, pathname);
  }
  if (!['/login', '/login/callback'].includes(location.pathname)) return;
  for (const name of ['pushState', 'replaceState']) {
    const move = history[name];
    history[name] = (state, title, url) => {
      const thread = sessionStorage.getItem(KEY);
      const isFirstPage = url !== undefined && url !== null && new URL(url, location.href).pathname === '/';
      if (!thread || !isFirstPage) return move.call(history, state, title, url);
      sessionStorage.removeItem(KEY);
      return location.replace(thread);
    };
  }
})();

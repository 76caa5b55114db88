// Who reads the end of a conversation stays there while it grows. After a reload the page shows the place that was read,
// not the end.
const KEY = 'longhaul.place';
const NEAR_END = 120; // pixels: who reads here follows what comes
const PATIENCE_MILLISECONDS = 5000;

const scroller = () => {
  let element = document.querySelector('[data-step-type]')?.parentElement;
  while (element && getComputedStyle(element).overflowY !== 'auto') element = element.parentElement;
  return element;
};

const kept = () => {
  try {
    const place = JSON.parse(sessionStorage.getItem(KEY));
    return place?.path === location.pathname ? place : null;
  } catch {
    return null;
  }
};

addEventListener('pagehide', () => {
  const box = scroller();
  const left = box ? box.scrollHeight - box.scrollTop - box.clientHeight : 0;
  try {
    if (left > NEAR_END) sessionStorage.setItem(KEY, JSON.stringify({ path: location.pathname, top: box.scrollTop }));
    else sessionStorage.removeItem(KEY);
  } catch {
    // Storage is forbidden: the page begins at the end.
  }
});

const place = kept();
if (place && performance.getEntriesByType('navigation')[0]?.type === 'reload') {
  const begun = Date.now();
  const touched = new AbortController();
  for (const name of ['wheel', 'touchmove', 'keydown', 'pointerdown']) {
    addEventListener(name, () => touched.abort(), { once: true, capture: true, signal: touched.signal });
  }
  // The page scrolls to its end when the messages come, and once more when they are drawn.
  const hold = setInterval(() => {
    if (touched.signal.aborted || Date.now() - begun > PATIENCE_MILLISECONDS) return clearInterval(hold);
    const box = scroller();
    if (box && box.scrollHeight - box.clientHeight >= place.top && Math.abs(box.scrollTop - place.top) > 2) {
      box.scrollTop = place.top;
    }
  }, 100);
}

// The page follows an answer by itself, until something grows that is not text: a chart that is drawn late, a picture. It
// then takes the end, which has moved, for a person who has scrolled away from it.
const AT_END = 10; // pixels
const OPENING_MILLISECONDS = 700;
const MOVING_MILLISECONDS = 1000;
const ends = (box) => box.scrollHeight - box.scrollTop - box.clientHeight;

let box = null;
let follows = !place;
let top = 0;
let moved = -Infinity; // when a person last moved the page: what shrinks and grows again moves it, too
let opened = -Infinity; // when a person opened something: what grows then is to be read from its beginning

const goOn = () => {
  if (!follows || ends(box) <= AT_END) return;
  if (performance.now() - opened < OPENING_MILLISECONDS) follows = false;
  else box.scrollTop = box.scrollHeight;
};

const grown = new ResizeObserver(() => box?.isConnected && goOn());

const judge = () => {
  const now = performance.now();
  if (ends(box) <= AT_END) follows = true;
  else if (box.scrollTop < top && now - moved < MOVING_MILLISECONDS) {
    follows = false;
    moved = now; // it may roll on by itself
  }
  top = box.scrollTop;
};

const settle = () => {
  if (box?.isConnected) return;
  grown.disconnect();
  box = scroller() ?? null;
  if (!box) return;
  top = box.scrollTop;
  box.addEventListener('scroll', judge, { passive: true });
  grown.observe(box);
  for (const part of box.children) grown.observe(part);
};

const say = (event) => {
  const sends = event.type === 'click' ? event.target.closest('#chat-submit, #starters') : event.key === 'Enter' && event.target.id === 'chat-input';
  if (sends) follows = true;
  if (event.target.closest?.('summary, [aria-expanded]')) opened = performance.now();
};

const move = ({ type, target }) => {
  const moves = type === 'pointerdown' ? target === box : !target.matches?.('input, textarea'); // the scroll bar is the box
  if (moves) moved = performance.now();
};

for (const name of ['wheel', 'touchmove', 'pointerdown', 'keydown']) addEventListener(name, move, { capture: true, passive: true });
addEventListener('click', say, true);
addEventListener('keydown', say, true);
new MutationObserver(settle).observe(document, { childList: true, subtree: true });

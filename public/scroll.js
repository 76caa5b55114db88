// After a reload the page shows the place that was read, not the end of the conversation.
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

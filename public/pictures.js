// Pages load no picture or film from another site: whoever serves it would read what its address carries, and documents
// can make a model write such an address. This shows a link in its place, which loads nothing until somebody follows it.
export function linkPictures(root) {
  root.addEventListener('error', ({ target }) => target.matches?.('img, video') && link(target), true);
}

function link(picture) {
  const url = URL.canParse(picture.src) ? new URL(picture.src) : location;
  if (!/^https?:$/.test(url.protocol) || url.origin === location.origin) return;
  const next = picture.nextElementSibling;
  const there = next?.matches('a.elsewhere') ? next : document.createElement('a');
  const name = picture.getAttribute('alt') || (picture.matches('video') ? 'Video' : 'Picture');
  Object.assign(there, { className: 'elsewhere', href: url, target: '_blank', rel: 'noopener noreferrer' });
  there.textContent = `${name} (${url.host})`;
  picture.style.display = 'none';
  picture.after(there); // the page's own nodes stay: it would stumble over a missing one
}

'use strict';
// Pages are paths: the server answers all of them with index.html, and this shows the right one.
const pages = { '/': 'Hello from static pages', '/about/us': 'This page has a path of its own' };

function show() {
  document.querySelector('#page').textContent = pages[location.pathname] ?? `Nothing at ${location.pathname}`;
}

document.addEventListener('click', (event) => {
  const link = event.target.closest('a');
  if (link === null || link.origin !== location.origin) return;
  event.preventDefault();
  history.pushState(null, '', link.href);
  show();
});
addEventListener('popstate', show);
show();

// Asks for the head alone, so that the app is asked for the page only once.
const shown = document.documentElement.dataset.page;
const look = async () => {
  try {
    const answer = await fetch(location.href, { method: 'HEAD', cache: 'no-store' });
    if (answer.headers.get('Nodesockd-Page') !== shown) {
      location.reload();
      return;
    }
  } catch {
    // The daemon is not there: it is being started again.
  }
  setTimeout(look, 1000);
};
setTimeout(look, 1000);

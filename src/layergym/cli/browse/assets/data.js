// Where answers come from: a server that is asked, or what this file holds.

const held = (() => {
  const node = document.getElementById("data");
  return node ? JSON.parse(node.textContent) : null;
})();

async function ask(address) {
  if (held) return held[address] || { problem: "This file does not hold it; see: layergym view" };
  try {
    const answer = await fetch(`/${address}`, { credentials: "omit", cache: "no-store" });
    return await answer.json();
  } catch {
    return { problem: "The server does not answer; is layergym view still running?", gone: true };
  }
}

const EVERY_MS = 3000;

// Ask again while the page is looked at, and tell when an answer has changed. What is returned asks
// at once, when the address has become another one.
function follow(address, tell, signal) {
  let before = "";
  const once = async () => {
    const answer = await ask(address());
    const text = JSON.stringify(answer);
    if (signal.aborted || text === before || (answer.gone && before)) return;
    before = text;
    tell(answer);
  };
  const repeat = async () => {
    if (!document.hidden) await once();
    if (!signal.aborted && !held) setTimeout(repeat, EVERY_MS);
  };
  repeat();
  return once;
}

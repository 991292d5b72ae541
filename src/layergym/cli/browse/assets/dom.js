// Elements from texts. Every text becomes a text node, so that none can be markup.

function element(name, options = {}, ...inside) {
  const spaced = ["svg", "g", "line", "path", "polyline", "circle", "text", "title"];
  const node = options.svg || (spaced.includes(name) && name !== "title")
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key === "svg" || value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "value") node.value = value;
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  put(node, inside);
  return node;
}

function put(node, inside) {
  for (const part of [inside].flat(Infinity)) {
    if (part === null || part === undefined || part === false) continue;
    node.append(part instanceof Node ? part : document.createTextNode(String(part)));
  }
  return node;
}

function fill(node, ...inside) {
  node.replaceChildren();
  return put(node, inside);
}

const known = (value) => value !== null && value !== undefined;
// As the report rounds: a value that lies exactly between two goes to the even digit.
function fixed(value, digits) {
  if (Math.abs((value * 2 ** (digits + 1)) % 2) !== 1) return value.toFixed(digits);
  return ((2 * Math.round((value * 10 ** digits) / 2)) / 10 ** digits).toFixed(digits);
}

const percent = (value) => (known(value) ? `${fixed(100 * value, 1)} %` : "");
const points = (value) => fixed(100 * value, 1);
const short = (value) => (known(value) ? String(Number(value.toPrecision(4))) : "");
const signed = (value) => (value < 0 ? "\u2212" : "+") + fixed(Math.abs(value), 2);

function between(found, write = (value) => fixed(value, 2)) {
  if (!found) return "undefined";
  const ends = known(found.low) && known(found.high);
  return write(found.value) + (ends ? ` [${write(found.low)}, ${write(found.high)}]` : "");
}

function ago(seconds) {
  const past = Math.max(0, Date.now() / 1000 - seconds);
  if (!seconds) return "";
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (past >= size) return `${Math.floor(past / size)} ${unit} ago`;
  }
  return `${Math.floor(past)} s ago`;
}

// Plots as SVG. Colours come from the style sheet, by class.

const WIDE = 720, TALL = 300, LEFT = 52, RIGHT = 16, TOP = 14, BOTTOM = 44;

function ticks(low, high, count = 5) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.8);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) {
    found.push(Number((at * step).toPrecision(12)));
  }
  return found;
}

function frame(xs, ys, labels) {
  const wide = innerWidth < 560 ? 380 : WIDE;
  let [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  let [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  const margin = 0.05 * (y1 - y0 || 1);
  [y0, y1] = [y0 - margin, y1 + margin];
  if (x0 === x1) [x0, x1] = [x0 - 1, x1 + 1];
  const x = (v) => LEFT + ((v - x0) / (x1 - x0)) * (wide - LEFT - RIGHT);
  const y = (v) => TALL - BOTTOM - ((v - y0) / (y1 - y0)) * (TALL - TOP - BOTTOM);
  const root = element("svg", { viewBox: `0 0 ${wide} ${TALL}`, role: "img", "aria-label": labels.name });
  for (const at of ticks(y0, y1)) {
    root.append(element("line", { class: "grid", x1: LEFT, x2: wide - RIGHT, y1: y(at), y2: y(at) }));
    root.append(element("text", { x: LEFT - 6, y: y(at) + 4, "text-anchor": "end" }, short(at)));
  }
  for (const at of ticks(x0, x1, wide < 500 ? 5 : 9).filter((v) => Number.isInteger(v))) {
    root.append(element("text", { x: x(at), y: TALL - BOTTOM + 18, "text-anchor": "middle" }, at));
  }
  root.append(element("text", { x: (LEFT + wide - RIGHT) / 2, y: TALL - 8, "text-anchor": "middle" }, labels.x));
  return { root, x, y, wide };
}

// Curves {name, role, x, y}: those that stand out are drawn last.
function drawCurves(curves, labels) {
  const xs = curves.flatMap((c) => c.x), ys = curves.flatMap((c) => c.y);
  if (!xs.length) return element("p", {}, "Nothing was logged yet.");
  const { root, x, y } = frame(xs, ys, labels);
  const order = ["muted", "base", "ink", "accent"];
  for (const curve of [...curves].sort((a, b) => order.indexOf(a.role) - order.indexOf(b.role))) {
    const group = element("g", { class: `curve ${curve.role}` });
    const points = curve.x.map((v, i) => `${x(v).toFixed(1)},${y(curve.y[i]).toFixed(1)}`);
    group.append(element("title", { svg: true }, curve.name));
    if (points.length === 1) {
      const [cx, cy] = points[0].split(",");
      group.append(element("circle", { cx, cy, r: 3 }));
    } else group.append(element("polyline", { points: points.join(" ") }));
    root.append(group);
  }
  return root;
}

// Points {name, x, value, low, high} over depth, with levels {name, value}.
function drawDepth(points, levels, labels) {
  const ends = points.flatMap((p) => [p.value, p.low, p.high]).filter(known);
  const { root, x, y, wide } = frame([-0.5, labels.layers - 0.5], [...ends, ...levels.map((l) => l.value)], labels);
  for (const level of levels) {
    const at = y(level.value);
    root.append(element("line", { class: "reference", x1: LEFT, x2: wide - RIGHT, y1: at, y2: at }));
    root.append(element("text", { x: wide - RIGHT, y: at - 4, "text-anchor": "end" }, level.name));
  }
  for (const point of points) {
    const group = element("g", { class: "ink" }, element("title", { svg: true }, `${point.name}: ${between(point)}`));
    if (known(point.low) && known(point.high)) {
      group.append(element("line", { class: "bar", x1: x(point.x), x2: x(point.x), y1: y(point.low), y2: y(point.high) }));
    }
    group.append(element("circle", { cx: x(point.x), cy: y(point.value), r: 4 }));
    root.append(group);
  }
  return root;
}

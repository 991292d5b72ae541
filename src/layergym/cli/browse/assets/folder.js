// One folder: curves over arms and seeds, contribution by depth, its runs, its settings.

function folderPage(id, signal) {
  const title = element("h1", {}, "\u2026"), about = element("p", { class: "subtitle" });
  const problem = element("p", { class: "warning", hidden: true });
  const runs = table([
    { name: "run", of: (r) => `${r.arm} ${r.seed}`, show: (r) => (r.seed === "" ? r.arm : `${r.arm}, seed ${r.seed}`), wordy: true },
    { name: "state", of: (r) => r.state, show: (r) => r.problem || r.state || "", wordy: true },
    { name: "step", of: (r) => r.step, show: (r) => (r.steps ? `${r.step}/${r.steps}` : "") },
    { name: "training", of: (r) => r.success, show: (r) => percent(r.success) },
    { name: "temperature 1", of: (r) => (r.scores || {})["t1.0"], show: (r) => percent((r.scores || {})["t1.0"]) },
    { name: "greedy", of: (r) => (r.scores || {}).greedy, show: (r) => percent((r.scores || {}).greedy) },
    { name: "errors", of: (r) => r.errors, show: (r) => (r.errors ? String(r.errors) : "") },
  ], { filter: "filter: runs", style: (r) => r.problem ? "failed" : r.state });
  const settings = table([
    { name: "setting", of: (r) => r[0], show: (r) => r[0], wordy: true },
    { name: "value", of: (r) => r[1], show: (r) => r[1], wordy: true },
  ], { filter: "filter: settings" });
  const learning = curvesPart(id, signal), depth = depthPart(id, signal);
  follow(() => `api/run/${id}`, (found) => {
    problem.hidden = !found.problem;
    fill(problem, found.problem);
    fill(title, found.name || "");
    document.title = `${found.name || ""} - layergym`;
    const told = [found.kind, found.state, found.env, found.model, found.algorithm, found.changed && `changed ${ago(found.changed)}`];
    fill(about, told.filter(Boolean).join(" \u00b7 "));
    runs.set(found.runs || []);
    settings.set(found.settings || []);
    learning.offer(found.measures || []);
  }, signal);
  return element("div", {}, title, about, problem,
    element("p", {}, element("a", { class: "go", href: `#/${id}/episodes` }, "Episodes, turn by turn")),
    depth, learning.node,
    element("section", {}, element("h2", {}, "Runs"), runs.node),
    element("details", {}, element("summary", {}, "Settings"), settings.node));
}

function curvesPart(id, signal) {
  let last = null, measures = "";
  const picture = element("div"), legend = element("p", { class: "caption" });
  const measure = element("select", { "aria-label": "measure", onchange: () => again() });
  const words = element("input", { type: "search", placeholder: "arms with this text", "aria-label": "arms with this text", oninput: () => draw() });
  const apart = element("input", { type: "checkbox", id: "apart", onchange: () => draw() });
  const node = element("section", { hidden: true }, element("h2", {}, "Curves"),
    element("div", { class: "controls" }, measure, words, element("label", { for: "apart" }, apart, " every seed")),
    picture, legend);

  function draw() {
    if (!last || !last.curves) return;
    const wanted = last.curves.filter((c) => `${c.arm} seed ${c.seed}`.includes(words.value));
    const shown = apart.checked ? wanted.map((c) => ({ ...c, name: `${c.arm}, seed ${c.seed}` })) : means(wanted);
    const arms = new Set(shown.map((c) => c.arm));
    for (const curve of shown) {
      curve.role = curve.arm === "full" ? "ink" : arms.size <= 2 || words.value ? "accent" : "muted";
    }
    fill(picture, drawCurves(shown, { name: last.measure, x: "step" }));
    const ends = shown.map((c) => ({ name: c.name, end: c.y[c.y.length - 1] })).sort((a, b) => b.end - a.end);
    fill(legend, ends.length ? `At the end, highest first: ${ends.slice(0, 12).map((c) => `${c.name} ${short(c.end)}`).join(", ")}${ends.length > 12 ? ", ..." : ""}` : "");
  }

  const again = follow(() => `api/curves/${id}?measure=${encodeURIComponent(measure.value)}`, (answer) => {
    last = answer;
    draw();
  }, signal);
  return {
    node,
    offer(names) {
      if (names.join(" ") === measures) return;
      measures = names.join(" ");
      const before = measure.value;
      fill(measure, names.map((name) => element("option", { value: name }, name)));
      if (names.includes(before)) measure.value = before;
      node.hidden = !names.length;
      again();
    },
  };
}

// The mean over seeds of every arm, at the steps that all of its seeds have.
function means(curves) {
  const arms = new Map();
  for (const curve of curves) arms.set(curve.arm, [...(arms.get(curve.arm) || []), curve]);
  return [...arms].map(([arm, own]) => {
    const tables = own.map((c) => new Map(c.x.map((x, i) => [x, c.y[i]])));
    const x = own[0].x.filter((at) => tables.every((t) => t.has(at)));
    const y = x.map((at) => tables.reduce((sum, t) => sum + t.get(at), 0) / tables.length);
    return { arm, name: own.length > 1 ? `${arm} (${own.length} seeds)` : arm, x, y };
  });
}

function depthPart(id, signal) {
  const node = element("section", { hidden: true });
  let chosen = 0, found = null;
  function draw() {
    node.hidden = !found.measures && !found.problem;
    if (found.problem) return fill(node, element("h2", {}, "Contribution by depth"), element("p", { class: "caption" }, found.problem));
    if (!found.measures) return node;
    const measure = found.measures[chosen];
    const undefinedShares = measure.arms.every((a) => !a.contribution);
    const of = (arm) => (undefinedShares ? arm.gain : arm.contribution);
    const dots = measure.arms.filter((a) => known(a.layer) && of(a)).map((a) => ({ name: a.arm, x: a.layer, ...of(a) }));
    const levels = undefinedShares ? [{ name: "base", value: 0 }, { name: "full", value: measure.gain.value }] : [{ name: "base", value: 0 }, { name: "full", value: 1 }];
    const choice = element("select", { "aria-label": "read at", onchange: () => { chosen = Number(choice.value); draw(); } },
      found.measures.map((m, i) => element("option", { value: i, selected: i === chosen }, m.name)));
    const list = table([
      { name: "arm", of: (a) => a.layer ?? a.arm, show: (a) => a.arm, wordy: true },
      { name: "seeds", of: (a) => a.seeds, show: (a) => String(a.seeds) },
      { name: "score", of: (a) => a.score.value, show: (a) => between(a.score, percent) },
      { name: "minus base, points", of: (a) => a.gain.value, show: (a) => between(a.gain, points) },
      { name: "contribution", of: (a) => a.contribution && a.contribution.value, show: (a) => between(a.contribution) },
    ], { filter: "filter: arms" });
    list.set(measure.arms);
    return fill(node, element("h2", {}, "Contribution by depth"), element("div", { class: "controls" }, choice),
      dots.length ? drawDepth(dots, levels, { name: "contribution by depth", x: "layer", layers: found.num_layers }) : null,
      element("p", { class: "caption" }, `${undefinedShares ? "Contributions are undefined (the gain of full training may be noise); shown is the gain over the base. " : ""}Base ${between(measure.base, percent)}, full ${between(measure.full, percent)}; intervals hold for all arms together; ${found.tasks} tasks x ${found.repeats} episodes. ${found.sharpening}`),
      list.node);
  }
  follow(() => `api/contributions/${id}`, (answer) => { found = answer; draw(); }, signal);
  return node;
}

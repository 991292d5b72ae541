// All folders.

function runsPage(signal) {
  const problem = element("p", { class: "warning", hidden: true });
  const list = table([
    { name: "name", of: (r) => r.name, show: (r) => r.name, wordy: true },
    { name: "what", of: (r) => r.kind, show: (r) => r.kind, wordy: true },
    { name: "state", of: (r) => r.state, show: (r) => r.problem || r.state || "", wordy: true },
    { name: "environment", of: (r) => r.env, show: (r) => (r.env || "").replace("layergym/", ""), wordy: true },
    { name: "model", of: (r) => r.model, show: (r) => r.model || "", wordy: true },
    { name: "algorithm", of: (r) => r.algorithm, show: (r) => r.algorithm || "", wordy: true },
    { name: "layers", of: (r) => r.layers, show: (r) => r.layers || "", wordy: true },
    { name: "done", of: (r) => r.step / r.steps, show: (r) => (known(r.steps) ? `${r.step}/${r.steps}` : "") },
    { name: "training", of: (r) => r.success, show: (r) => percent(r.success) },
    { name: "score", of: mainScore, show: (r) => percent(mainScore(r)) },
    { name: "changed", of: (r) => r.changed, show: (r) => ago(r.changed) },
  ], { filter: "filter: words in any column", link: (r) => `#/${r.id}`, style: (r) => r.problem ? "failed" : r.state });
  follow(() => "api/runs", (answer) => {
    problem.hidden = !answer.problem;
    fill(problem, answer.problem);
    if (answer.runs) list.set(answer.runs);
  }, signal);
  return element("div", {}, element("h1", {}, "Runs"), problem, list.node);
}

function mainScore(row) {
  const scores = row.scores || {};
  return scores["t1.0"] ?? Object.values(scores)[0];
}

// Episodes: the list, and one of them turn by turn with the group it was compared in.

const ended = (e) => (e.success ? "solved" : e.error || e.ended);

function episodesPage(id, signal) {
  const outcome = element("select", { "aria-label": "outcome", onchange: () => list.draw() },
    ["all outcomes", "solved", "not solved", "errors"].map((name) => element("option", {}, name)));
  const only = (e) => ({ solved: e.success, "not solved": !e.success, errors: e.ended === "error" })[outcome.value] ?? true;
  const note = element("p", { class: "caption" });
  const list = table([
    { name: "task", of: (e) => e.task, show: (e) => e.task, wordy: true },
    { name: "run", of: (e) => e.run || e.agent, show: (e) => e.run || e.agent, wordy: true },
    { name: "from", of: (e) => e.from, show: (e) => e.from, wordy: true },
    { name: "step", of: (e) => e.step, show: (e) => (known(e.step) ? String(e.step) : "") },
    { name: "type", of: (e) => e.kind, show: (e) => e.kind, wordy: true },
    { name: "turns", of: (e) => e.turns, show: (e) => String(e.turns) },
    { name: "reward", of: (e) => e.reward, show: (e) => short(e.reward) },
    { name: "outcome", of: ended, show: ended, wordy: true },
  ], {
    filter: "filter: words in any column", only, controls: outcome,
    link: (e) => `#/${id}/episodes/${e.id}`, style: (e) => (e.success ? "done" : e.ended === "error" ? "failed" : ""),
  });
  follow(() => `api/episodes/${id}`, (answer) => {
    fill(note, answer.problem || (answer.left_out ? `${answer.left_out} more episodes are not listed.` : ""));
    list.set(answer.episodes || []);
  }, signal);
  return element("div", {}, element("h1", {}, "Episodes"), note, list.node);
}

function episodePage(id, name, signal) {
  const node = element("div", {}, element("h1", {}, "\u2026"));
  (async () => {
    let found = await ask(`api/episode/${id}/${name}`);
    if (found.same) found = { ...(await ask(`api/episode/${id}/${found.same}`)), chosen: found.chosen };
    if (signal.aborted) return;
    if (found.problem) fill(node, element("p", { class: "warning" }, found.problem));
    else fill(node, episode(id, found));
  })();
  return node;
}

function episode(id, found) {
  const one = found.episodes[found.chosen];
  const told = [found.run, found.from, known(one.step) && `step ${one.step}`, one.kind, `reward ${short(one.reward)}`, ended(one), `seed ${one.seed}`];
  const group = found.episodes.length < 2 ? null : element("p", { class: "group" },
    `Its group: `, found.episodes.map((other, place) => element("a", {
      href: `#/${id}/episodes/${found.ids[place]}`, class: place === found.chosen ? "here" : "",
      "aria-current": place === found.chosen ? "true" : null,
    }, `${place + 1}: ${other.success ? "solved" : other.ended}, ${short(other.reward)}`)));
  return [
    element("h1", {}, one.task), element("p", { class: "subtitle" }, told.filter(Boolean).join(" \u00b7 ")),
    group, element("p", { class: "caption" }, lossNote(one)),
    element("ol", { class: "turns" }, one.turns.map((turn, place) => turnItem(turn, place, one, found))),
    stateTable(id, found),
  ];
}

function lossNote(one) {
  if (one.masked) return "This episode was cut at a limit: it was compared, and no token of it carries loss.";
  if (!one.turns.some((turn) => known(turn.advantage))) return "This episode was not trained on.";
  return "Tokens that carry loss are marked, each with its log-probability when sampled (point at it); prompts and observations carry none.";
}

function turnItem(turn, place, one, found) {
  const peers = known(turn.state) ? visits(found, turn.state) : [];
  const notes = [
    turn.reward ? `reward ${short(turn.reward)}` : "", turn.valid ? "" : "invalid",
    turn.forgotten ? `${turn.forgotten} earlier turns left out of the prompt` : "",
    turn.tokens ? `${turn.tokens[0]} tokens read, ${turn.tokens[1]} written` : "",
    peers.length > 1 ? `state ${turn.state}, shared by ${peers.length} turns of the group` : "",
  ];
  const trained = known(turn.advantage) && !one.masked;
  return element("li", { id: `turn-${place}` },
    element("pre", { class: "seen" }, turn.observation),
    turn.prompt ? element("details", {}, element("summary", {}, turn.extends ? "what the model was fed since its last reply" : "the whole prompt, fed anew"), element("pre", { class: "prompt" }, turn.prompt)) : null,
    element("pre", { class: "said" }, replyText(turn, trained)),
    turn.action !== turn.reply.trim() ? element("p", { class: "note" }, `action: ${turn.action}`) : null,
    credit(turn),
    element("p", { class: "note" }, notes.filter(Boolean).join(" \u00b7 ")));
}

function replyText(turn, trained) {
  if (!turn.pieces || !turn.pieces.length) return turn.reply;
  return turn.pieces.map((piece, place) => element("span", {
    class: trained ? "loss" : "token", title: `log-probability ${short(turn.logprobs[place])}`,
  }, piece));
}

function credit(turn) {
  if (!known(turn.advantage)) return null;
  const parts = known(turn.episode_part)
    ? ` = ${signed(turn.episode_part)} of the episode and ${signed(turn.advantage - turn.episode_part)} of the step` : "";
  const side = turn.advantage > 0 ? "up" : turn.advantage < 0 ? "down" : "";
  return element("p", { class: `credit ${side}` }, element("strong", {}, `advantage ${signed(turn.advantage)}`), parts);
}

function visits(found, state) {
  return found.episodes.flatMap((one, place) => one.turns
    .map((turn, number) => ({ place, number, turn })).filter((v) => v.turn.state === state));
}

// Step groups: turns that were taken in the same state and so compared with one another.
function stateTable(id, found) {
  const states = new Set(found.episodes.flatMap((one) => one.turns.map((turn) => turn.state)).filter(known));
  const shared = [...states].map((state) => [state, visits(found, state)]).filter(([, own]) => own.length > 1);
  if (!shared.length) return null;
  return element("section", {}, element("h2", {}, "Step groups"),
    element("p", { class: "caption" }, `Turns of the group that were taken in the same state, and so compared: ${shared.length} of ${states.size} states.`),
    shared.sort((a, b) => b[1].length - a[1].length).map(([state, own]) => element("details", { class: "story" },
      element("summary", {}, `state ${state}: ${own.length} turns`),
      element("pre", { class: "seen" }, own[0].turn.observation),
      element("ul", {}, own.map((v) => element("li", {},
        element("a", { href: `#/${id}/episodes/${found.ids[v.place]}` }, `episode ${v.place + 1}, turn ${v.number + 1}`),
        `: ${v.turn.action}`,
        known(v.turn.advantage) ? `, advantage ${signed(v.turn.advantage)}` : "",
        known(v.turn.episode_part) ? ` (step ${signed(v.turn.advantage - v.turn.episode_part)})` : ""))))));
}

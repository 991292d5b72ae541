// A table that sorts by its headings and filters by words. Columns: {name, of, show, wordy}.

const ROWS = 200;

function table(columns, options) {
  const state = { rows: [], words: "", by: options.by ?? null, down: options.down ?? false };
  const head = element("tr"), body = element("tbody"), note = element("p", { class: "caption" });
  const words = element("input", {
    type: "search", placeholder: options.filter, "aria-label": options.filter,
    oninput: () => { state.words = words.value; draw(); },
  });
  const sorter = element("select", { "aria-label": "sort by", onchange: () => sort(sorter.value) },
    columns.map((c) => element("option", { value: c.name }, `sort: ${c.name}`)));

  function sort(name) {
    state.down = state.by === name ? !state.down : false;
    state.by = name;
    draw();
  }

  function shown(row) {
    const text = columns.map((c) => c.show(row)).join(" ").toLowerCase();
    return state.words.toLowerCase().split(/\s+/).every((word) => text.includes(word)) && (!options.only || options.only(row));
  }

  function ordered(rows) {
    const column = columns.find((c) => c.name === state.by);
    if (!column) return rows;
    const way = state.down ? -1 : 1;
    return [...rows].sort((left, right) => {
      const [a, b] = [column.of(left), column.of(right)];
      if (!known(a) || !known(b)) return known(a) ? -1 : known(b) ? 1 : 0;
      return way * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
    });
  }

  function draw() {
    if (state.by) sorter.value = state.by;
    fill(head, columns.map((c) => {
      const mark = state.by === c.name ? (state.down ? " \u2193" : " \u2191") : "";
      const sorted = state.by === c.name ? (state.down ? "descending" : "ascending") : "none";
      return element("th", { scope: "col", class: c.wordy && "left", "aria-sort": sorted },
        element("button", { type: "button", class: "sort", onclick: () => sort(c.name) }, c.name + mark));
    }));
    const found = ordered(state.rows.filter(shown));
    fill(body, found.slice(0, ROWS).map((row) => element("tr", { class: options.style && options.style(row) },
      columns.map((c, place) => {
        const text = c.show(row), link = place === 0 && options.link && options.link(row);
        return element("td", { class: c.wordy && "left", "data-name": c.name, hidden: false },
          link ? element("a", { href: link }, text) : text);
      }))));
    const more = found.length > ROWS ? `; the first ${ROWS} are shown` : "";
    fill(note, `${found.length} of ${state.rows.length}${more}`);
  }

  const node = element("div", { class: "table" },
    element("div", { class: "controls" }, words, sorter, options.controls, note),
    element("div", { class: "scroll" }, element("table", { class: "cards" }, element("thead", {}, head), body)));
  return { node, draw, set(rows) { state.rows = rows; draw(); } };
}

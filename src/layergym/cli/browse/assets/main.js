// Which page is shown: #/ all folders, #/3 one, #/3/episodes its episodes, #/3/episodes/0.4 one.

let ending = new AbortController();

function show() {
  ending.abort();
  ending = new AbortController();
  const [, id, part, name] = location.hash.replace(/^#/, "").split("/");
  const crumbs = [element("a", { href: "#/" }, "Runs")];
  let page;
  if (!/^\d+$/.test(id || "")) page = runsPage(ending.signal);
  else {
    crumbs.push(" \u203a ", name_of(id));
    if (part !== "episodes") page = folderPage(id, ending.signal);
    else {
      crumbs.push(" \u203a ", element("a", { href: `#/${id}/episodes` }, "episodes"));
      page = /^\d+\.\d+$/.test(name || "") ? episodePage(id, name, ending.signal) : episodesPage(id, ending.signal);
    }
  }
  document.title = "layergym";
  fill(document.querySelector("nav"), crumbs);
  fill(document.getElementById("view"), page);
  scrollTo(0, 0);
}

// A link to a folder, which gets its name as soon as that is known.
function name_of(id) {
  const link = element("a", { href: `#/${id}` }, `folder ${id}`);
  ask("api/runs").then((all) => {
    const found = (all.runs || []).find((one) => String(one.id) === id);
    if (found) link.textContent = found.name;
  });
  return link;
}

addEventListener("hashchange", show);
show();

"use strict";
(() => {
  // Sorting, filtering and the choice of probe and columns; without it the page still shows the ranking.
  const headButton = (th, act) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = th.textContent;
    th.replaceChildren(button);
    button.addEventListener("click", act);
  };
  const compare = (a, b, down) => {
    const none = (v) => v === null || v === undefined || v === "" || Number.isNaN(v);
    if (none(a) || none(b)) return none(a) - none(b); // what is missing stays below, either way round
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en");
    return down ? -order : order;
  };
  const sortRows = (body, value, down) => {
    const rows = [...body.rows].filter((row) => !row.matches(".divider, .empty"));
    const keyed = rows.map((row, at) => [value(row), at, row]);
    keyed.sort((a, b) => compare(a[0], b[0], down) || a[1] - b[1]);
    body.append(...keyed.map((item) => item[2]));
  };
  const mark = (head, th, down) => {
    for (const other of head.cells) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", down ? "descending" : "ascending");
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const head = table.tHead.rows[0];
    [...head.cells].forEach((th, at) => headButton(th, () => {
      const number = th.dataset.sort === "number";
      const down = th.getAttribute("aria-sort") ? th.getAttribute("aria-sort") === "ascending" : number;
      const read = (row) => number ? parseFloat(row.cells[at].textContent) : row.cells[at].textContent.toLowerCase();
      sortRows(table.tBodies[0], read, down);
      mark(head, th, down);
    }));
  }

  const table = document.getElementById("ranking");
  if (!table) return;
  const data = JSON.parse(document.getElementById("data").textContent);
  const get = (id) => document.getElementById(id);
  const state = { probe: 0, columns: "categories", sort: "suite", down: true, most: 100 };
  const fitting = new Set();
  const filled = new Map(); // which columns a row holds; one that is not shown need not hold them
  const head = table.tHead.rows[0];
  const bodies = [get("rows"), get("bounds"), get("published")].filter(Boolean);
  const rows = bodies.flatMap((body) => [...body.rows]).filter((row) => row.dataset.text !== undefined);
  const columnAt = new Map(data.columns.map((name, at) => [name, at]));
  const valuesOf = (row) => row.dataset.row !== undefined ? data.rows[row.dataset.row][state.probe] : data.published[row.dataset.published];
  const show = (value, paper) => value === null || value === undefined ? "–" : value.toFixed(paper ? 2 : 3);
  const lower = new Map(rows.map((row) => [row, row.querySelector(".name").firstChild.textContent.toLowerCase()]));
  const tiers = { "self-reported": 1, reproduced: 2, "fresh-seed": 3 };
  const keyOf = (row, key) => {
    const number = (text) => text === "" ? null : Number(text);
    if (key === "name") return lower.get(row);
    if (key === "tier") return tiers[row.dataset.tier] ?? 0;
    if (["rank", "parameters", "features"].includes(key)) return number(row.dataset[key]);
    if (key === "date") return row.dataset.date;
    if (key.startsWith("probe-")) return row.dataset.row !== undefined ? data.rows[row.dataset.row][key.slice(6)][columnAt.get("suite")] : null;
    return valuesOf(row)[columnAt.get(key)] ?? null;
  };
  const titles = new Map([...head.querySelectorAll(".value")].map((th) => [th.dataset.sort, th.textContent]));
  const gameTitles = new Map(data.games);
  state.names = [...titles.keys()];
  for (const row of rows) filled.set(row, state.names); // as the page comes

  const fill = (row) => {
    if (filled.get(row) === state.names) return;
    filled.set(row, state.names);
    const values = valuesOf(row);
    const paper = row.dataset.published !== undefined;
    const cells = row.querySelectorAll(".value");
    row.cells[2].textContent = show(values[columnAt.get("suite")], paper);
    let last = [...row.querySelectorAll(".probe")].pop() ?? row.cells[2];
    state.names.forEach((name, at) => {
      let cell = cells[at];
      if (!cell) {
        cell = document.createElement("td");
        cell.className = "num value";
        last.after(cell);
      }
      cell.textContent = show(values[columnAt.get(name)], paper);
      last = cell;
    });
    for (let at = state.names.length; at < cells.length; at++) cells[at].remove();
  };
  // A browser lays out a hundred rows at once and a thousand in seconds, so the rest waits for a button.
  const page = () => {
    let left = state.most;
    for (const row of bodies[0].rows) {
      if (row.dataset.text === undefined) continue;
      row.hidden = !fitting.has(row) || left <= 0;
      left -= fitting.has(row);
      if (!row.hidden) fill(row);
    }
    for (const row of bodies.slice(1).flatMap((body) => [...body.rows])) {
      if (row.dataset.text === undefined) continue;
      row.hidden = !fitting.has(row);
      if (!row.hidden) fill(row);
    }
    get("more").hidden = left >= 0;
    if (left < 0) get("more").textContent = `Show all ${state.most - left}`;
  };
  const sort = () => {
    for (const body of bodies) sortRows(body, (row) => keyOf(row, state.sort), state.down);
    page();
    const th = [...head.cells].find((cell) => cell.dataset.sort === state.sort);
    if (th) mark(head, th, state.down);
  };
  const choose = (th) => {
    const key = th.dataset.sort;
    state.down = state.sort === key ? !state.down : !["name", "rank"].includes(key);
    state.sort = key;
    sort();
  };
  const columns = () => {
    const names = state.columns === "games" ? [...gameTitles.keys()] : [...titles.keys()];
    if (![...head.cells].some((th) => !th.matches(".value") && th.dataset.sort === state.sort) && !names.includes(state.sort)) {
      state.sort = "suite";
      state.down = true;
    }
    for (const th of head.querySelectorAll(".value")) th.remove();
    let after = [...head.querySelectorAll("[data-sort=suite], .probe")].pop();
    for (const name of names) {
      const th = document.createElement("th");
      th.scope = "col";
      th.className = "num value";
      th.dataset.sort = name;
      th.textContent = titles.get(name) ?? gameTitles.get(name);
      headButton(th, () => choose(th));
      after.after(th);
      after = th;
    }
    state.names = names;
    for (const cell of table.querySelectorAll(".divider th, .empty td")) cell.colSpan = head.cells.length;
  };
  const filter = () => {
    const words = get("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const tier = get("tier").value;
    const most = get("most").value;
    let count = 0;
    for (const row of rows) {
      const paper = row.dataset.published !== undefined;
      const fits = words.every((word) => row.dataset.text.includes(word))
        && (paper || !tier || row.dataset.tier === tier)
        && (paper || !most || (row.dataset.parameters !== "" && Number(row.dataset.parameters) <= Number(most)));
      if (fits) fitting.add(row);
      else fitting.delete(row);
      count += fits && row.parentElement === bodies[0];
    }
    page();
    if (get("published")) get("published").hidden = !get("paper").checked;
    get("count").textContent = count + (count === 1 ? " encoder" : " encoders");
  };

  for (const th of head.cells) headButton(th, () => choose(th));
  mark(head, head.querySelector("[data-sort=suite]"), true); // the page comes sorted
  get("controls").hidden = false;
  get("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["search", "tier", "most", "paper"]) get(id)?.addEventListener(id === "search" ? "input" : "change", filter);
  get("probe").addEventListener("change", (event) => { state.probe = Number(event.target.value); columns(); sort(); });
  get("columns").addEventListener("change", (event) => { state.columns = event.target.value; columns(); sort(); });
  get("more").addEventListener("click", () => { state.most = Infinity; page(); });
  filter();
})();

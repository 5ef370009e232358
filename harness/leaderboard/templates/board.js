"use strict";
(() => {
  // Sorting, filtering and the choice of score, games and columns; without it the page still shows the ranking.
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
  const head = table.tHead.rows[0];
  const bodies = [get("rows"), get("bounds")].filter(Boolean);
  const rows = bodies.flatMap((body) => [...body.rows]).filter((row) => row.dataset.text !== undefined);
  const games = data.games.map((game) => game[0]);
  const gameAt = new Map(games.map((name, at) => [name, at]));
  const gameTitles = new Map(data.games);
  const categoryTitles = new Map(data.categories);
  const categoryAt = new Map([...categoryTitles.keys()].map((name, at) => [name, at + 2]));
  // Of a game under a score: the value, half of its interval, and the values of the categories.
  const cell = (row, name, score) => data.rows[row.dataset.row][score]?.[gameAt.get(name)] ?? [null, null];
  const at = (row, name, score) => cell(row, name, score)[0];
  const tiers = { "self-reported": 1, reproduced: 2, "fresh-seed": 3 };
  const titles = new Map(rows.map((row) => [row, row.querySelector(".name").firstChild.textContent]));
  const show = (value) => value === null || value === undefined ? "–" : value.toFixed(3);

  const used = data.scores.map((_, score) => score).filter((score) => rows.some((row) => data.rows[row.dataset.row][score].length));

  // What is chosen; everything else on the page follows from it.
  const state = { score: 0, games: "all", own: new Set(), columns: "scores", sort: "main", down: true, most: 100 };
  let chosen = games; // the games of the ranking
  const fitting = new Set();
  const filled = new Map(); // what a row shows; one that is hidden need not be kept up to date
  let shape = "";

  // Sets of games that have a name; what some of them hold depends on the score.
  const sets = new Map([
    ["all", () => games],
    ["shared", () => data.shared[state.score]],
    ["every", () => {
      const having = [...bodies[0].rows].filter((row) => data.rows[row.dataset.row]?.[state.score].length);
      return games.filter((name) => having.every((row) => at(row, name, state.score) !== null));
    }],
    ...Object.entries(data.suites).map(([name, of]) => [name, () => of]),
  ]);
  // Where nobody has every game, the ranking begins with those that most encoders share.
  const first = data.whole || !data.shared[0].length ? "all" : "shared";
  // The mean of numbers of four decimal places, rounded half to even like those in results; null if one is missing.
  const meanOf = (values) => {
    if (!values.length || values.includes(null)) return null;
    const sum = values.reduce((total, value) => total + Math.round(value * 1e4), 0);
    const whole = Math.floor(sum / values.length), rest = 2 * (sum - whole * values.length) - values.length;
    return (whole + (rest > 0 || (rest === 0 && whole % 2))) / 1e4;
  };
  const mean = (row, score, of = chosen) => meanOf(of.map((name) => at(row, name, score)));
  const covered = (row) => chosen.filter((name) => at(row, name, state.score) !== null).length;
  const categoryMean = (row, category) => { // over the games that have it
    if (covered(row) < chosen.length) return null;
    const values = chosen.map((name) => cell(row, name, state.score)[categoryAt.get(category)]);
    return meanOf(values.filter((value) => value !== null));
  };
  const half = (row, of = chosen) => { // games err apart from each other
    const known = of.map((name) => cell(row, name, state.score)[1]);
    return !known.length || known.includes(null) ? null : Math.hypot(...known) / known.length;
  };
  const ends = (value, width) => [Math.max(0, value - width), Math.min(1, value + width)];
  const bound = (kind) => meanOf(chosen.map((name) => data[kind][state.score][name] ?? null));

  const svg = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const draw = (row, floor, ceiling) => {
    const bar = svg("svg", { class: "bar", viewBox: "0 0 100 10", "aria-hidden": "true" });
    bar.append(svg("rect", { class: "track", width: 100, height: 10, rx: 2 }));
    const value = mean(row, state.score);
    if (value !== null) bar.append(svg("rect", { class: "score", width: value * 100, height: 10, rx: 2 }));
    const width = half(row);
    if (value !== null && width !== null) {
      const [low, high] = ends(value, width);
      bar.append(svg("path", { class: "interval", d: `M${low * 100} 5H${high * 100}` }));
    }
    for (const [name, place] of [["majority", floor], ["ceiling", ceiling]]) {
      if (place !== null) bar.append(svg("path", { class: name, d: `M${place * 100} 0V10` }));
    }
    return bar;
  };

  const names = () => {
    if (state.columns === "categories") return [...categoryTitles.keys()];
    if (state.columns === "games") return chosen;
    return used.filter((score) => score !== state.score).map((score) => `score-${score}`);
  };
  const titleOf = (name) => name.startsWith("score-") ? data.scores[name.slice(6)] : categoryTitles.get(name) ?? gameTitles.get(name);
  const valueOf = (row, name) => {
    if (name.startsWith("score-")) return mean(row, Number(name.slice(6)));
    return categoryTitles.has(name) ? categoryMean(row, name) : at(row, name, state.score);
  };
  const keyOf = (row, key) => {
    const number = (text) => text === "" || text === undefined ? null : Number(text);
    if (key === "name") return titles.get(row).toLowerCase();
    if (key === "tier") return tiers[row.dataset.tier] ?? 0;
    if (key === "rank" || key === "parameters") return number(row.dataset[key]);
    return key === "main" ? mean(row, state.score) : valueOf(row, key);
  };

  const fill = (row) => {
    if (filled.get(row) === shape) return;
    filled.set(row, shape);
    const wanted = names();
    const count = covered(row);
    row.cells[0].textContent = row.dataset.rank || "–";
    row.querySelector(".cover").textContent = count < chosen.length ? `${count} of ${chosen.length} games · ` : "";
    row.querySelector(".main").textContent = show(mean(row, state.score));
    row.querySelector(".drawn").replaceChildren(draw(row, bound("floors"), bound("ceilings")));
    for (const cell of row.querySelectorAll(".value")) cell.remove();
    let last = row.querySelector(".drawn");
    for (const name of wanted) {
      const cell = document.createElement("td");
      cell.className = "num value";
      cell.textContent = show(valueOf(row, name));
      last.after(cell);
      last = cell;
    }
  };
  // A browser lays out a hundred rows at once and a thousand in seconds, so the rest waits for a button.
  const page = () => {
    let left = state.most;
    for (const row of bodies.flatMap((body) => [...body.rows])) {
      if (row.dataset.text === undefined) continue;
      const ranked = row.parentElement === bodies[0];
      row.hidden = !fitting.has(row) || (ranked && left <= 0);
      if (ranked) left -= fitting.has(row);
      if (!row.hidden) fill(row);
    }
    if (bodies[1]) bodies[1].hidden = ![...bodies[1].rows].some((row) => fitting.has(row));
    get("more").hidden = left >= 0;
    if (left < 0) get("more").textContent = `Show all ${state.most - left}`;
  };
  const rank = () => {
    const found = new Map(rows.map((row) => [row, row.parentElement === bodies[0] ? mean(row, state.score) : null]));
    for (const [row, value] of found) {
      row.dataset.rank = value === null ? "" : 1 + [...found.values()].filter((other) => other !== null && other > value).length;
    }
  };
  const header = () => {
    head.querySelector(".main button").textContent = data.scores[state.score];
    for (const th of head.querySelectorAll(".value")) th.remove();
    let after = head.querySelector(".drawn");
    for (const name of names()) {
      const th = document.createElement("th");
      th.scope = "col";
      th.className = "num value";
      th.dataset.sort = name;
      th.textContent = titleOf(name);
      headButton(th, () => choose(th));
      after.after(th);
      after = th;
    }
    for (const cell of table.querySelectorAll(".divider th, .empty td")) cell.colSpan = head.cells.length;
    const many = state.columns === "games" && chosen.length > 6; // a column for each leaves no room for bars
    table.classList.toggle("many", many);
    get("legend").hidden = many;
  };
  const order = () => {
    if (![...head.cells].some((th) => th.dataset.sort === state.sort)) Object.assign(state, { sort: "main", down: true });
    for (const body of bodies) {
      // Of rows without the value, those with more of the games come first.
      sortRows(body, (row) => -covered(row), false);
      sortRows(body, (row) => keyOf(row, state.sort), state.down);
    }
    if (get("none")) bodies[0].append(get("none"));
    mark(head, [...head.cells].find((th) => th.dataset.sort === state.sort), state.down);
  };
  // Keeps a row that has some of the words if no other row has these and more: "random cnn" is one encoder, and
  // "st-dim cpc" two. Parts between commas are looked for apart.
  const search = () => {
    const found = new Set(), nowhere = [];
    const parts = get("search").value.toLowerCase().split(",").map((part) => part.split(/\s+/).filter(Boolean));
    for (const words of parts.filter((part) => part.length)) {
      const starts = words.map((word) => new RegExp(`(^|[^a-z0-9])${word.replace(/[^a-z0-9]/g, "\\$&")}`));
      const has = rows.map((row) => words.filter((_, n) => starts[n].test(row.dataset.text)));
      const sets = [...new Map(has.map((own) => [own.join(" "), own])).values()];
      rows.forEach((row, n) => {
        const more = sets.some((other) => other.length > has[n].length && has[n].every((word) => other.includes(word)));
        if (has[n].length && !more) found.add(row);
      });
      nowhere.push(...words.filter((word) => !has.some((own) => own.includes(word))));
    }
    return parts.some((part) => part.length) ? [found, nowhere] : [new Set(rows), nowhere];
  };
  const filter = () => {
    const [found, nowhere] = search();
    const tier = get("tier").value;
    const most = get("most").value;
    for (const row of rows) {
      const fits = found.has(row)
        && (!tier || row.dataset.tier === tier)
        && (!most || (row.dataset.parameters !== "" && Number(row.dataset.parameters) <= Number(most)));
      if (fits) fitting.add(row);
      else fitting.delete(row);
    }
    const left = [...fitting].filter((row) => row.parentElement === bodies[0]);
    get("count").textContent = left.length + (left.length === 1 ? " encoder" : " encoders")
      + (left.length && nowhere.length ? ` (none has “${nowhere.join("” or “")}”)` : "");
    if (get("none")) get("none").hidden = left.length > 0;
    get("pair").hidden = left.length !== 2;
    get("pair").replaceChildren(...(left.length === 2 ? verdict(left) : []));
  };
  // What the numbers of the page say about two encoders. The predictions, which say more, are not in it.
  const verdict = (pair) => {
    const of = chosen.filter((name) => pair.every((row) => at(row, name, state.score) !== null));
    const score = data.scores[state.score];
    if (!of.length) return [`These two share none of the chosen games under ${score}.`];
    const [one, two] = pair.map((row) => ({ row, value: mean(row, state.score, of), width: half(row, of) }))
      .sort((a, b) => b.value - a.value);
    const said = ({ row, value, width }) => titles.get(row) + " " + show(value)
      + (width === null ? "" : ` (${ends(value, width).map(show).join(" to ")})`);
    const ahead = of.filter((name) => at(one.row, name, state.score) > at(two.row, name, state.score)).length;
    const apart = one.width === null || two.width === null ? ""
      : ` The 95 % intervals ${one.value - one.width > two.value + two.width ? "do not overlap" : "overlap"}.`;
    const on = of.length === 1 ? gameTitles.get(of[0]) : `${of.length} games`;
    const won = of.length === 1 ? "" : `; ${titles.get(one.row)} is ahead on ${ahead}`;
    const code = document.createElement("code");
    code.textContent = "harness compare";
    return [`${score}, ${on}: ${said(one)}, ${said(two)}${won}.${apart} Paired by episodes, `, code, " tests the difference."];
  };
  const where = () => {
    const named = chosen.map((name) => gameTitles.get(name)).join(", ");
    if (chosen.length === games.length) return `all ${games.length} games`;
    return `${chosen.length} game${chosen.length === 1 ? "" : "s"}${named && `: ${named}`}`;
  };

  // The address says what is chosen, so that it can be sent to somebody.
  const fields = { q: "search", tier: "tier", most: "most" };
  const write = () => {
    const said = new URLSearchParams();
    for (const [key, id] of Object.entries(fields)) if (get(id).value) said.set(key, get(id).value);
    if (state.score) said.set("score", data.scores[state.score]);
    if (state.games !== first) said.set("games", state.games === "own" ? [...state.own].join(" ") : state.games);
    if (state.columns !== "scores") said.set("columns", state.columns);
    if (state.sort !== "main" || !state.down) said.set("sort", (state.down ? "-" : "") + state.sort);
    history.replaceState(null, "", said.toString() ? `#${said}` : location.pathname + location.search);
  };
  const read = () => {
    const said = new URLSearchParams(location.hash.slice(1));
    for (const [key, id] of Object.entries(fields)) if (said.has(key)) get(id).value = said.get(key);
    state.score = Math.max(0, data.scores.indexOf(said.get("score")));
    const asked = said.get("games") ?? first;
    const known = asked.split(" ").filter((name) => gameTitles.has(name));
    if (sets.has(asked)) state.games = asked;
    else if (known.length === 1) state.games = known[0];
    else if (known.length) Object.assign(state, { games: "own", own: new Set(known) });
    if (["categories", "games"].includes(said.get("columns"))) state.columns = said.get("columns");
    const sort = said.get("sort");
    if (sort) Object.assign(state, { sort: sort.replace(/^-/, ""), down: sort.startsWith("-") });
  };

  const update = () => {
    if (sets.has(state.games)) chosen = sets.get(state.games)();
    else chosen = state.games === "own" ? games.filter((name) => state.own.has(name)) : [state.games];
    const sizes = new Set([0, games.length]); // of no game or of all, and of sets that are offered
    for (const [name, who] of [["shared", "most"], ["every", "all"]]) {
      const { length } = sets.get(name)();
      const offered = get("games").querySelector(`[value=${name}]`);
      offered.textContent = `the ${length === 1 ? "one" : length} that ${who} encoders share`;
      offered.hidden = sizes.has(length); // of these sets, each is part of the one before
      sizes.add(length);
    }
    get("chosen").hidden = state.games !== "own";
    get("on").textContent = `, ranked on ${where()}`;
    shape = JSON.stringify([state.score, state.columns, chosen]);
    rank();
    header();
    filter();
    order();
    page();
    write();
  };
  const choose = (th) => {
    const key = th.dataset.sort;
    state.down = state.sort === key ? !state.down : !["name", "rank"].includes(key);
    state.sort = key;
    order();
    page();
    write();
  };

  for (const th of head.cells) if (th.dataset.sort) headButton(th, () => choose(th));
  read();
  const suiteTitles = { paper: "the 2019 paper", atari100k: "Atari 100k" };
  const option = (value, text) => get("games").append(new Option(text, value));
  option("all", `all ${games.length}`);
  option("shared", "");
  option("every", "");
  for (const [name, of] of Object.entries(data.suites)) option(name, `the ${of.length} of ${suiteTitles[name] ?? name}`);
  option("own", "a choice of games…");
  for (const [name, title] of data.games) option(name, title);
  for (const [name, title] of data.games) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = state.own.has(name);
    box.addEventListener("change", () => { state.own[box.checked ? "add" : "delete"](name); update(); });
    label.append(box, ` ${title}`);
    label.className = "check";
    get("chosen").append(label);
  }
  get("score").value = state.score;
  get("games").value = state.games;
  if (!get("games").value) { state.games = "all"; get("games").value = "all"; }
  get("columns").value = state.columns;
  get("controls").hidden = false;
  get("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["search", "tier", "most"]) {
    get(id).addEventListener(id === "search" ? "input" : "change", () => { filter(); page(); write(); });
  }
  get("score").addEventListener("change", (event) => { state.score = Number(event.target.value); update(); });
  get("games").addEventListener("change", (event) => { state.games = event.target.value; update(); });
  get("columns").addEventListener("change", (event) => { state.columns = event.target.value; update(); });
  get("more").addEventListener("click", () => { state.most = Infinity; page(); });
  get("reset")?.addEventListener("click", () => {
    for (const id of Object.values(fields)) get(id).value = "";
    update();
    get("search").focus();
  });
  update();
})();

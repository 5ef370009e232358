// What a page must keep to, for people who do not see it or use no mouse; returns a list of problems.
const problems = [];
const say = (what, node) => problems.push(what + ": " + node.outerHTML.slice(0, 120));
if (!document.documentElement.lang) problems.push("no language");
if (!document.title) problems.push("no title");
if (document.querySelectorAll("h1").length !== 1) problems.push("not one h1");
if (!document.querySelector("main")) problems.push("no main");
let level = 0;
for (const h of document.querySelectorAll("h1,h2,h3,h4")) {
  const now = Number(h.tagName[1]);
  if (now > level + 1) say("heading level skipped", h);
  level = now;
}
for (const n of document.querySelectorAll("input,select")) if (!n.labels.length) say("no label", n);
for (const n of document.querySelectorAll("img")) if (!n.alt) say("no alt", n);
for (const n of document.querySelectorAll("svg")) if (!n.getAttribute("aria-label") && n.getAttribute("aria-hidden") !== "true") say("no label", n);
for (const n of document.querySelectorAll("table th")) if (!n.scope) say("no scope", n);
for (const n of document.querySelectorAll("table")) if (!n.caption) say("no caption", n);
for (const n of document.querySelectorAll("a,button")) if (!n.textContent.trim()) say("no text", n);
const ids = [...document.querySelectorAll("[id]")].map((n) => n.id);
if (new Set(ids).size !== ids.length) problems.push("an id twice");
const parse = (c) => { const v = c.match(/[\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
const light = (c) => { const f = c.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
for (const n of document.querySelectorAll("main *, header *, footer *")) {
  const own = [...n.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
  if (!own || n.closest("svg") || !n.getClientRects().length || n.matches(".visually-hidden")) continue;
  let ground = n;
  while (ground && parse(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
  const back = ground ? parse(getComputedStyle(ground).backgroundColor) : [255, 255, 255];
  const pair = [light(parse(getComputedStyle(n).color)), light(back)].sort((a, b) => b - a);
  const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (ratio < 4.5) say("contrast " + ratio.toFixed(2), n);
}
if (document.documentElement.scrollWidth > document.documentElement.clientWidth + 1) problems.push("the page is wider than the window");
return problems;

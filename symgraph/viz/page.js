"use strict";
// The page knows one state: a selected node, lines that are lit, a step, what is searched for, which groups are closed.
// Everything shown follows from it in show(). Text is set as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const nodes = data.nodes, groups = data.groups, steps = data.steps;
const $ = id => document.getElementById(id);
const el = nodes.map(n => $(n.id));
const edges = [...document.querySelectorAll(".edge")];
const index = new Map(nodes.map((n, i) => [n.id, i]));
const ends = edges.map(e => [index.get(e.dataset.a), index.get(e.dataset.b)]);
const when = new Array(nodes.length);
steps.forEach((i, k) => { when[i] = k; });
const groupOf = new Map();
groups.forEach((g, k) => g.members.forEach(i => groupOf.set(i, k)));
const state = { node: null, line: null, step: nodes.length, find: "", closed: new Set(), focus: steps[0] ?? null };
const svg = $("picture");
const SVG = "http://www.w3.org/2000/svg";

function make(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
function draw(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
  if (text !== undefined) made.textContent = text;
  return made;
}

// View: a part of the drawing, as the viewBox ---------------------------------------------------------------------

const whole = svg.getAttribute("viewBox").split(" ").map(Number);
let box = whole.slice();
function setBox(next) { box = next; svg.setAttribute("viewBox", box.map(v => v.toFixed(2)).join(" ")); }
function scale() {
  const r = svg.getBoundingClientRect();
  return Math.max(box[2] / Math.max(r.width, 1), box[3] / Math.max(r.height, 1));
}
function pointAt(event) {
  const m = svg.getScreenCTM();
  return m ? new DOMPoint(event.clientX, event.clientY).matrixTransform(m.inverse()) : { x: box[0], y: box[1] };
}
function zoom(factor, at) {
  const limit = Math.max(whole[2], whole[3]) * 3;
  const width = Math.min(Math.max(box[2] * factor, 60), limit), f = width / box[2];
  const x = at ? at.x : box[0] + box[2] / 2, y = at ? at.y : box[1] + box[3] / 2;
  setBox([x - (x - box[0]) * f, y - (y - box[1]) * f, width, box[3] * f]);
}
function fit() { setBox(whole.slice()); }
function placeOf(i) {
  const k = groupOf.get(i);
  if (k !== undefined && state.closed.has(k)) return middle(k);
  const t = el[i] && el[i].getAttribute("transform");
  return t ? t.slice(10, -1).split(" ").map(Number) : [0, 0];
}
// Bring a node into view; in a large graph, near enough to be read.
function reveal(i) {
  const [x, y] = placeOf(i), s = scale();
  let [bx, by, bw, bh] = box;
  if (s > 1.9) {
    const f = 1.1 / s;
    bw *= f; bh *= f; bx = x - bw / 2; by = y - bh / 2;
  }
  const r = svg.getBoundingClientRect(), k = Math.max(bw / Math.max(r.width, 1), bh / Math.max(r.height, 1));
  const w = r.width * k, h = r.height * k, cx = bx + bw / 2, cy = by + bh / 2;
  const dx = Math.abs(x - cx) > w / 2 - 90 * Math.min(1, k) ? x - cx : 0;
  const dy = Math.abs(y - cy) > h / 2 - 50 * Math.min(1, k) ? y - cy : 0;
  setBox([bx + dx, by + dy, bw, bh]);
}
const held = new Map();
let moved = false, spread = 0;
svg.addEventListener("pointerdown", e => {
  held.set(e.pointerId, [e.clientX, e.clientY]);
  moved = false; spread = 0;
});
svg.addEventListener("pointermove", e => {
  const from = held.get(e.pointerId);
  if (!from) return;
  const dx = e.clientX - from[0], dy = e.clientY - from[1];
  if (!moved && Math.hypot(dx, dy) < 4) return;
  if (!moved) { svg.setPointerCapture(e.pointerId); svg.classList.add("held"); }
  moved = true;
  held.set(e.pointerId, [e.clientX, e.clientY]);
  if (held.size > 1) {
    const [a, b] = [...held.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
    if (spread) zoom(spread / Math.max(now, 1), pointAt({ clientX: (a[0] + b[0]) / 2, clientY: (a[1] + b[1]) / 2 }));
    spread = now;
  } else {
    const s = scale();
    setBox([box[0] - dx * s, box[1] - dy * s, box[2], box[3]]);
  }
});
for (const kind of ["pointerup", "pointercancel"]) {
  svg.addEventListener(kind, e => { held.delete(e.pointerId); spread = 0; svg.classList.remove("held"); });
}
svg.addEventListener("wheel", e => {
  e.preventDefault();
  zoom(Math.exp(Math.max(-60, Math.min(60, e.deltaY)) / 200), pointAt(e));
}, { passive: false });
$("closer").addEventListener("click", () => zoom(0.75));
$("farther").addEventListener("click", () => zoom(1 / 0.75));
$("fit").addEventListener("click", fit);

// What is told of a node ------------------------------------------------------------------------------------------

// A node in a few words: with its operands where the picture has only edges for them.
function brief(n) {
  const whole = n.text.includes("•") && n.formula !== undefined && n.formula.length <= 44 && !n.text.includes("←");
  const called = /^(.+?) = /.exec(n.text);
  return whole ? (called ? called[0] : "") + n.formula : n.text;
}
function link(i) {
  const b = make("button", brief(nodes[i]));
  b.type = "button";
  b.addEventListener("click", () => choose(i, true));
  return b;
}
function lineLink(n) {
  const b = make("button", `${n}  ${data.text[n] ?? ""}`);
  b.type = "button";
  b.addEventListener("click", () => light(n));
  return b;
}
function row(list, name, ...parts) {
  const dd = make("dd");
  dd.append(...parts);
  list.append(make("dt", name), dd);
}
function some(made, all) {
  const shown = all.slice(0, 12).map(made);
  if (all.length > 12) shown.push(make("span", ` and ${all.length - 12} more`, "quiet"));
  return shown;
}
function tell() {
  const told = $("told");
  if (state.node === null) {
    const lit = state.line === null ? [] : data.lines[state.line] ?? [];
    if (!lit.length) {
      told.replaceChildren(make("p", "Select a node in the graph, or a line of the source, to see how they belong together.", "quiet"));
      return;
    }
    const list = make("dl");
    row(list, `Line ${state.line}`, document.createTextNode(`belongs to ${lit.length} node${lit.length > 1 ? "s" : ""}`));
    row(list, "Nodes", ...some(link, lit));
    told.replaceChildren(list);
    return;
  }
  const i = state.node, n = nodes[i], list = make("dl");
  row(list, "Kind", make("span", n.role || "operation", "chip"), document.createTextNode(` ${n.op}`));
  row(list, "Type", n.type);
  if (n.value !== undefined && when[i] <= state.step) row(list, "Value", make("pre", n.value));
  if (n.where) row(list, "Your line", n.where);
  if (n.lines.length) row(list, n.within ? "Part of" : "Statement", ...some(lineLink, n.lines));
  else row(list, "Statement", document.createTextNode("none: rewriting left nothing to compute"));
  if (n.forward.length) row(list, "Adjoint of", ...some(link, n.forward));
  if (n.derived && n.derived.length) {
    const ul = make("ul");
    ul.append(...n.derived.map(line => make("li", line)));
    row(list, "By the rule", ul);
  }
  if (n.adjoints.length) row(list, "Its adjoint", ...some(link, n.adjoints));
  if (n.operands.length) row(list, "Made from", ...some(link, n.operands));
  row(list, "Used by", ...(n.users.length ? some(link, n.users) : [document.createTextNode("nothing else: it is a result")]));
  if (n.became) row(list, "Became", n.became);
  if (n.rules.length) {
    const ul = make("ul");
    ul.append(...n.rules.map(r => make("li", r)));
    row(list, "Rewritten by", ul);
  }
  const k = groupOf.get(i);
  if (k !== undefined) {
    const b = make("button", `collapse ${groups[k].label} (${groups[k].members.length} nodes)`);
    b.type = "button";
    b.addEventListener("click", () => fold(k));
    row(list, "Group", b);
  }
  told.replaceChildren(make("p", n.formula ?? n.text, "formula"), list);
}

// Groups: the nodes of one part or line in one box ------------------------------------------------------------------------

function middle(k) {
  let x = 0, y = 0;
  for (const i of groups[k].members) {
    const t = el[i].getAttribute("transform").slice(10, -1).split(" ").map(Number);
    x += t[0]; y += t[1];
  }
  return [x / groups[k].members.length, y / groups[k].members.length];
}
function hidden(i) { const k = groupOf.get(i); return k !== undefined && state.closed.has(k); }
function labelOf(k) { return `${groups[k].label} · ${groups[k].members.length} nodes`; }
function sizeOf(i) {
  return hidden(i) ? [widthOf(groupOf.get(i)), 38] : [Number(el[i].dataset.w), Number(el[i].dataset.h)];
}
function widthOf(k) { return Math.max(110, labelOf(k).length * 6.4 + 24); }
function bundle() {
  const boxes = [], bundles = [], seen = new Set();
  el.forEach((g, i) => g && g.classList.toggle("gone", hidden(i)));
  for (const k of state.closed) {
    const [x, y] = middle(k), label = labelOf(k), w = widthOf(k);
    const made = draw("g", { class: "node group", transform: `translate(${x} ${y})`, role: "button", tabindex: "0", "aria-expanded": "false",
      "aria-label": `${label}, collapsed`, "data-group": k });
    made.append(draw("rect", { class: "shape", x: -w / 2 + 4, y: -13, width: w, height: 34, rx: 7 }),
      draw("rect", { class: "shape", x: -w / 2, y: -17, width: w, height: 34, rx: 7 }), draw("text", { y: 4 }, label));
    boxes.push(made);
  }
  ends.forEach(([a, b], e) => {
    const inside = hidden(a) || hidden(b);
    edges[e].classList.toggle("gone", inside);
    if (!inside || edges[e].classList.contains("adjoint")) return;
    const from = hidden(a) ? `g${groupOf.get(a)}` : a, to = hidden(b) ? `g${groupOf.get(b)}` : b, key = `${from}>${to}`;
    if (from === to || seen.has(key)) return;
    seen.add(key);
    const [x1, y1] = placeOf(a), [x2, y2] = placeOf(b), [w, h] = sizeOf(b), dx = x2 - x1, dy = y2 - y1;
    const t = Math.max(0, 1 - Math.min((w / 2 + 6) / Math.abs(dx || 1e-9), (h / 2 + 6) / Math.abs(dy || 1e-9)));
    bundles.push(draw("path", { class: "edge", d: `M${x1},${y1}L${x1 + t * dx},${y1 + t * dy}` }));
  });
  $("boxes").replaceChildren(...boxes);
  $("bundles").replaceChildren(...bundles);
  const all = groups.length > 0 && state.closed.size === groups.length;
  $("fold").setAttribute("aria-pressed", String(all));
  $("fold").textContent = all ? "Expand all" : "Collapse all";
}
function fold(k) {
  state.closed.add(k);
  if (state.node !== null && groupOf.get(state.node) === k) state.node = null;
  bundle(); show();
  const made = document.querySelector(`[data-group="${k}"]`);
  if (made) made.focus();
}
function unfold(k) { state.closed.delete(k); bundle(); show(); }
$("fold").addEventListener("click", () => {
  const all = state.closed.size === groups.length;
  state.closed = new Set(all ? [] : groups.keys());
  state.node = null;
  bundle(); show();
});
$("fold").hidden = groups.length === 0;

// Show ------------------------------------------------------------------------------------------------------------

const lineElements = new Map([...document.querySelectorAll("#source > div[data-n]")].map(d => [Number(d.dataset.n), d]));
const numbers = [...lineElements.keys()];
function matches() {
  const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return new Set();
  return new Set([...nodes.keys()].filter(i => {
    const n = nodes[i], all = `${n.text} ${n.formula ?? ""} ${n.role} ${n.op} ${n.type} ${n.where}`.toLowerCase();
    return words.every(w => all.includes(w));
  }));
}
function show() {
  const { node, line, step } = state, n = node === null ? null : nodes[node];
  const lit = new Set(line === null || node !== null ? [] : data.lines[line] ?? []);
  const near = new Set(n ? [...n.operands, ...n.users, ...n.forward, ...n.adjoints] : []);
  const hits = matches(), stepping = step < nodes.length;
  const now = stepping && step > 0 ? steps[step - 1] : null;
  svg.classList.toggle("focused", !stepping && (n !== null || lit.size > 0));
  svg.classList.toggle("stepping", stepping);
  el.forEach((g, i) => {
    if (!g) return;
    const c = g.classList;
    c.toggle("sel", i === node); c.toggle("near", near.has(i)); c.toggle("lit", lit.has(i)); c.toggle("hit", hits.has(i));
    c.toggle("now", i === now); c.toggle("todo", stepping && when[i] >= step);
    g.setAttribute("tabindex", i === state.focus ? "0" : "-1");
    g.setAttribute("aria-pressed", String(i === node));
    const shown = nodes[i].short !== undefined && stepping && when[i] < step;
    let value = g.querySelector(".value");
    if (shown && !value) {
      value = draw("text", { class: "value", y: Number(g.dataset.h) / 2 + 10.5 }, nodes[i].short);
      g.append(value);
    } else if (!shown && value) value.remove();
  });
  edges.forEach((e, k) => {
    const [a, b] = ends[k];
    e.classList.toggle("near", n !== null && (a === node || b === node));
    e.classList.toggle("todo", stepping && (when[a] >= step || when[b] >= step));
  });
  const lines = new Set(n ? n.lines : line === null ? [] : [line]);
  for (const [k, d] of lineElements) {
    d.classList.toggle("lit", lines.has(k)); d.classList.toggle("at", k === line);
    d.setAttribute("aria-selected", String(lines.has(k)));
  }
  $("found").textContent = state.find.trim() ? (hits.size === 1 ? "1 node" : `${hits.size} nodes`) : "";
  $("at").value = String(step);
  const text = !stepping ? `all ${nodes.length} steps` : step === 0 ? `before the first of ${nodes.length} steps`
    : `${step} of ${nodes.length} · ${side(nodes[now].order)} · ${brief(nodes[now])}${nodes[now].short === undefined ? "" : ` = ${nodes[now].short}`}`;
  $("step").textContent = text;
  $("at").setAttribute("aria-valuetext", text);
  Object.assign(document.body.dataset, { node: n ? n.id : "", line: line ?? "", step, found: hits.size, closed: state.closed.size });
  tell();
}
function side(order) { return order === 0 ? "forward" : order === 1 ? "backward" : `order ${order}`; }
function remember(words) {
  try { history.replaceState(null, "", words ? `#${words}` : location.pathname); } catch { /* not from a file in some browsers */ }
}

function choose(i, focus) {
  const k = groupOf.get(i);
  if (k !== undefined && state.closed.has(k)) { state.closed.delete(k); bundle(); }
  state.node = state.focus = i;
  state.line = null;
  scrollSource(nodes[i].lines[0]);  // what measures comes before what changes: in a large graph each layout takes its time
  if (el[i]) reveal(i);
  show();
  if (focus && el[i]) el[i].focus({ preventScroll: true });
  remember(`select=${nodes[i].id}`);
}
function scrollSource(n) {
  const d = lineElements.get(n), pane = $("code");
  if (!d || pane.scrollHeight <= pane.clientHeight) return;
  const at = d.getBoundingClientRect(), r = pane.getBoundingClientRect();
  if (at.top < r.top + 30 || at.bottom > r.bottom - 20) pane.scrollTop += at.top - r.top - r.height / 3;
}
function light(n) {
  state.node = null;
  state.line = n;
  for (const i of data.lines[n] ?? []) {
    const k = groupOf.get(i);
    if (k !== undefined && state.closed.delete(k)) bundle();
  }
  const lit = data.lines[n] ?? [];
  scrollSource(n);
  if (lit.length) reveal(lit[0]);
  show();
  $("source").setAttribute("aria-activedescendant", `L${n}`);
  remember(`line=${n}`);
}
function clear() {
  state.node = state.line = null;
  state.find = $("find").value = "";
  show();
  remember("");
}
function go(step) {
  state.step = Math.max(0, Math.min(nodes.length, step));
  state.line = null;
  if (state.step > 0 && state.step < nodes.length) {
    state.node = state.focus = steps[state.step - 1];
    const k = groupOf.get(state.node);
    if (k !== undefined && state.closed.delete(k)) bundle();
    scrollSource(nodes[state.node].lines[0]);
    reveal(state.node);
  } else state.node = null;
  show();
  remember(`step=${state.step}`);
}

// What the reader does --------------------------------------------------------------------------------------------

svg.addEventListener("click", e => {
  if (moved) return;
  const g = e.target.closest(".node");
  if (!g) { if (state.node !== null || state.line !== null) clear(); return; }
  if (g.dataset.group !== undefined) unfold(Number(g.dataset.group));
  else choose(index.get(g.id), true);
});
svg.addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const g = e.target.closest(".node");
  const keys = { "+": () => zoom(0.75), "=": () => zoom(0.75), "-": () => zoom(1 / 0.75), "0": fit, Escape: clear };
  if (keys[e.key]) { e.preventDefault(); keys[e.key](); return; }
  if (!g) return;
  if (g.dataset.group !== undefined) {
    if (e.key === "Enter" || e.key === " ") {
      e.preventDefault();
      const k = Number(g.dataset.group);
      unfold(k);
      choose(groups[k].members[0], true);
    }
    return;
  }
  const i = index.get(g.id), n = nodes[i], at = when[i];
  const to = {
    ArrowUp: n.operands[0], ArrowDown: n.users[0], ArrowLeft: n.forward[0], ArrowRight: n.adjoints[0],
    PageUp: steps[at - 1], PageDown: steps[at + 1], Home: steps[0], End: steps.at(-1), Enter: i, " ": i,
  }[e.key];
  if (e.key in { ArrowUp: 1, ArrowDown: 1, ArrowLeft: 1, ArrowRight: 1, PageUp: 1, PageDown: 1, Home: 1, End: 1, Enter: 1, " ": 1 }) e.preventDefault();
  if (to !== undefined) choose(to, true);
});
$("graph").addEventListener("focusin", e => {  // not on the drawing: some browsers let that take the focus then
  const g = e.target.closest(".node");
  if (g && index.has(g.id) && g.matches(":focus-visible")) reveal(index.get(g.id));
});
$("source").addEventListener("click", e => {
  const d = e.target.closest("div[data-n]");
  if (d && !String(getSelection())) light(Number(d.dataset.n));
});
$("source").addEventListener("keydown", e => {
  const at = numbers.indexOf(state.line ?? (state.node === null ? -1 : nodes[state.node].lines[0] ?? -1));
  const to = { ArrowDown: at + 1, ArrowUp: Math.max(at - 1, 0), Home: 0, End: numbers.length - 1 }[e.key];
  if (e.key === "Escape") clear();
  else if (e.key === "Enter" && state.line !== null) choose(data.lines[state.line][0], true);
  else if (to !== undefined && numbers.length) light(numbers[Math.min(to, numbers.length - 1)]);
  else return;
  e.preventDefault();
});
$("list").addEventListener("click", e => {
  const b = e.target.closest("button");
  if (b) choose(Number(b.dataset.i), true);
});
let nth = 0;
$("find").addEventListener("input", () => { state.find = $("find").value; nth = 0; show(); });
$("find").addEventListener("keydown", e => {
  if (e.key === "Escape") clear();
  if (e.key !== "Enter") return;
  e.preventDefault();
  const hits = [...matches()];
  if (hits.length) choose(hits[nth++ % hits.length], false);
});
$("first").addEventListener("click", () => go(0));
$("back").addEventListener("click", () => go(state.step - 1));
$("on").addEventListener("click", () => go(state.step + 1));
$("last").addEventListener("click", () => go(nodes.length));
$("at").addEventListener("input", () => go(Number($("at").value)));
const list = document.querySelector("#list details");
let was = false, seen = null;
addEventListener("beforeprint", () => { was = list.open; seen = box; list.open = true; fit(); });
addEventListener("afterprint", () => { list.open = was; if (seen) setBox(seen); });

// A link into the page: #select=n12, #line=5, #step=3, #find=tanh, #collapse, joined by & ---------------------------

function follow() {
  for (const part of location.hash.slice(1).split("&")) {
    const [word, value = ""] = part.split("=");
    const number = Number.parseInt(value, 10);
    if (word === "collapse") { state.closed = new Set(groups.keys()); bundle(); show(); }
    else if (word === "find") {
      try { state.find = $("find").value = decodeURIComponent(value); } catch { continue; }
      show();
    } else if (word === "select" && index.has(value)) choose(index.get(value), false);
    else if (word === "line" && lineElements.has(number)) light(number);
    else if (word === "step" && number >= 0) go(number);
  }
}
addEventListener("hashchange", follow);
// A picture much larger than the window begins where the computation does, near enough to be read.
function begin() {
  const r = svg.getBoundingClientRect();
  if (scale() <= 2.8 || !r.width || !steps.length) return;
  const width = Math.max(r.width * 1.1, Math.min(whole[2], r.width * 1.6));
  const places = steps.filter(i => el[i] && nodes[i].order === nodes[steps[0]].order).map(placeOf);
  const [x, y] = places.reduce((a, b) => (b[1] < a[1] ? b : a)), height = width * r.height / r.width;
  setBox([Math.min(Math.max(0, x - width / 3), Math.max(0, whole[2] - width)), Math.max(0, y - height / 4), width, height]);
}
show();
begin();
follow();
document.body.dataset.ready = "yes";

// Shows what the agent reports. Everything that came from a file's name is put in as text, never as markup.
"use strict";

const at = (id) => document.getElementById(id);
const NONE = "–";
let report = null;      // the last report
let points = [];        // figures of the last hour
let heard = 0;          // when the agent was heard of last, by the browser's clock
const KEPT = 720;

// Words and numbers.

function span(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds < 9.95) return `${+seconds.toFixed(1)} s`;
  const s = Math.round(seconds);
  const two = (a, ua, b, ub) => (b ? `${a} ${ua} ${b} ${ub}` : `${a} ${ua}`);
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor(s / 60) % 60, "min");
  return two(Math.floor(s / 86400), "d", Math.floor(s / 3600) % 24, "h");
}
const whole = (n) => n.toLocaleString("en");
function rate(n) {
  if (n === null || n === undefined) return NONE;
  return n >= 99.5 ? whole(Math.round(n)) : n >= 9.95 ? n.toFixed(1) : n.toFixed(2);
}
function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit += 1; }
  return unit === 0 ? `${n} B` : `${n.toFixed(n < 10 ? 1 : 0)} ${units[unit]}`;
}
const ago = (time) => (time ? `${span(Math.max(0, report.at_seconds - Date.parse(time) / 1000))} ago` : NONE);
const many = (n, one, more) => `${whole(n)} ${n === 1 ? one : more}`;

// The document.

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
function set(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}
// Only what changed is touched, so that selections, focus and screen readers are left in peace.
function fill(parent, wanted) {
  wanted.forEach((element, n) => {
    const there = parent.children[n];
    if (!there) parent.append(element);
    else if (!there.isEqualNode(element)) there.replaceWith(element);
  });
  while (parent.children.length > wanted.length) parent.lastElementChild.remove();
}
function table(id, heads, rows, nothing) {
  const cell = (tag, text, column, bad) =>
    make(tag, { className: [heads[column][1], bad ? "bad" : ""].join(" ").trim(), textContent: text });
  const head = make("tr", {}, ...heads.map(([text], n) => cell("th", text, n)));
  for (const th of head.children) th.scope = "col";
  const body = rows.map((row) => make("tr", {}, ...row.cells.map((text, n) => cell("td", text, n, row.bad === n))));
  const none = make("tr", {}, make("td", { className: "none", textContent: nothing }));
  fill(at(id), rows.length ? [head, ...body] : [none]);
}

// Parts of the page.

function showVerdict() {
  const silent = (Date.now() - heard) / 1000;
  const problems = [...(report?.problems ?? [])];
  if (heard && silent > 10) {
    problems.unshift(`The agent was last heard of ${span(silent)} ago. It was stopped, or cannot be reached; what is below is what it said then.`);
  }
  const said = problems.length === 0 ? "All is well" : many(problems.length, "thing to know", "things to know");
  set("verdict", report ? said : "Asking the agent …");
  at("verdict").classList.toggle("bad", problems.length > 0);
  fill(at("problems"), problems.map((text) => make("li", { textContent: text })));
  at("problems").hidden = problems.length === 0;
  document.title = problems.length ? `(${problems.length}) nfs-scout` : "nfs-scout";
}

function quantile(part) {
  const { within, count } = report.latency;
  if (!count) return null;
  const found = within.find(([, upto]) => upto >= count * part);
  return found ? found[0] : Infinity;
}
const within = (seconds) => (seconds === Infinity ? "over 1 h" : span(seconds));

function showFigures() {
  const { pace, sinks, roots } = report;
  const unsent = Math.max(0, ...sinks.filter((sink) => sink.state !== "-").map((sink) => sink.behind));
  const oldest = roots.reduce((most, root) => Math.max(most, root.oldest_look_s ?? 0), 0);
  const directories = roots.reduce((sum, root) => sum + root.directories, 0);
  const unseen = roots.reduce((sum, root) => sum + root.unseen, 0);
  const onWire = pace.rpcs !== null;
  const figures = [
    ["Handed over", whole(report.head), many(report.latency.count, "found", "found") + " since the start"],
    ["Found within", within(quantile(0.5)), report.latency.count ? `95 of 100 within ${within(quantile(0.95))}` : "no file came yet"],
    ["Each directory", span(pace.kept_s), `${span(pace.promised_s)} promised, oldest look ${span(oldest)}`],
    [onWire ? "RPCs a second" : "Looks a second", rate(onWire ? pace.rpcs : pace.looks), pace.budget === null ? "no root is there to ask" : `over a minute; ${rate(pace.budget)} allowed, ${rate(pace.needed)} needed`],
    ["Directories", whole(directories), unseen ? `${whole(unseen)} not seen yet` : "all seen"],
    ["Waiting", whole(report.waiting_count), Object.entries(report.waiting_reasons).map(([why, n]) => `${whole(n)} ${why}`).join(", ") || "nothing"],
    ["Unsent", whole(unsent), unsent ? "to the sink that is most behind" : "nothing"],
  ];
  fill(at("figures"), figures.map(([name, value, small]) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", {}, value, make("small", { textContent: small })))));
}

function showTables() {
  const name = (text) => [text, "name"], number = (text) => [text, "number"], when = (text) => [text, "when"];
  table("roots", [name("Directory"), name("State"), number("Directories"), number("Not seen yet"), number("Unreadable"), number("Oldest look")],
    report.roots.map((root) => ({
      cells: [root.path,
        root.state === "silent" ? `no answer for ${span(root.silent_s)}` : root.lost ? `${root.state}: ${root.lost}` : root.state,
        whole(root.directories), whole(root.unseen), whole(root.unreadable), span(root.oldest_look_s)],
      bad: root.state === "lost" || root.state === "silent" ? 1 : -1,
    })), "Nothing is watched.");
  table("sinks", [when("Sink"), when("State"), number("Confirmed"), number("Waiting for it"), number("Oldest"), number("Refused"), name("Why")],
    report.sinks.map((sink) => ({
      cells: [sink.sink, sink.state === "-" ? "not in use" : sink.state, whole(sink.confirmed), whole(sink.behind), span(sink.oldest_s), whole(sink.refused), sink.reason ?? ""],
      bad: ["down", "blocked", "ended"].includes(sink.state) ? 1 : -1,
    })), "No sink.");
  table("rpcs", [when("Operation"), number("Sent"), number("A second"), number("Mean round trip")],
    Object.entries(report.rpcs).sort(([, a], [, b]) => b.count - a.count).map(([operation, it]) => ({
      cells: [operation, whole(it.count), rate(it.per_second), `${it.round_trip_ms.toFixed(2)} ms`],
    })), "None: no NFS mount is watched just now.");
  table("latest", [name("File"), when("What"), number("Size"), number("When"), number("Within")],
    report.latest.slice(0, 15).map((file) => ({
      cells: [file.path, file.kind, bytes(file.size), ago(file.at), span(file.within_s)],
      bad: file.kind === "broken" ? 1 : -1,
    })), "None since the agent's start.");
  table("waiting", [name("File"), name("Why"), number("Size"), number("First seen")],
    report.waiting.map((file) => ({ cells: [file.path, file.reason, bytes(file.size), ago(file.first_seen)] })), "None.");
  table("broken", [name("File"), number("Size"), number("When")],
    report.broken.map((file) => ({ cells: [file.path, bytes(file.size), ago(file.at)] })), "None since the agent's start.");
  table("refused", [when("By"), number("Number"), name("Why")],
    report.refused.map((it) => ({ cells: [it.sink, whole(it.seq), it.reason] })), "None.");
  at("s-refused").hidden = report.refused_count === 0;
  set("about", `Version ${report.version}, agent ${report.agent}, started ${ago(report.started)}`);
}

// The map.

let current = null;     // the path of the square that Tab reaches
function heat(perHour) {
  return perHour < 0.05 ? 0 : perHour < 1 ? 1 : perHour < 10 ? 2 : perHour < 100 ? 3 : 4;
}
function told(line) {
  const each = line.every_s === null ? "" : `, a look each ${span(line.every_s)}`;
  const looked = line.looked_s === null ? "never looked at" : `looked at ${span(line.looked_s)} ago`;
  return `${line.path}: ${rate(line.files_per_hour)} files an hour, ${looked}${each}${line.unreadable ? ", cannot be read" : ""}`;
}
function showMap() {
  const map = at("map"), lines = report.directories, all = report.roots.reduce((sum, root) => sum + root.directories, 0);
  const bound = report.pace.kept_s ?? Infinity;
  if (!lines.some((line) => line.path === current)) current = lines[0]?.path ?? null;
  while (map.children.length > lines.length) map.lastElementChild.remove();
  while (map.children.length < lines.length) map.append(make("button", { type: "button" }));
  lines.forEach((line, n) => {
    const cell = map.children[n];
    const age = line.looked_s === null ? 1 : Math.min(1, line.looked_s / bound);
    const late = line.looked_s !== null && line.looked_s > bound * 1.25 + 1;
    cell.className = `cell heat-${heat(line.files_per_hour)}${late ? " late" : ""}${line.unreadable ? " dark" : ""}`;
    cell.style.setProperty("--age", `${Math.round(age * 100)}%`);
    cell.setAttribute("aria-label", told(line));
    cell.tabIndex = line.path === current ? 0 : -1;
    cell.line = line;
  });
  const shown = lines.length < all ? `${whole(lines.length)} of ${whole(all)}: the hottest, and those looked at longest ago.` : `${many(all, "directory", "directories")}.`;
  const late = lines.filter((line) => line.looked_s !== null && line.looked_s > bound * 1.25 + 1).length;
  set("map-says", `${shown} ${late ? `${whole(late)} over the bound of ${span(bound)}.` : `None over the bound of ${span(report.pace.kept_s)}.`}`);
  const pointed = map.querySelector(":focus, :hover");
  if (pointed?.line) set("map-detail", told(pointed.line));
}
function point(cell) {
  if (!cell?.line) return;
  current = cell.line.path;
  for (const other of at("map").children) other.tabIndex = other === cell ? 0 : -1;
  set("map-detail", told(cell.line));
}
function walkMap(event) {
  const cells = [...at("map").children], from = cells.indexOf(document.activeElement);
  const columns = getComputedStyle(at("map")).gridTemplateColumns.split(" ").length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -from, End: cells.length - 1 - from };
  if (from < 0 || !(event.key in steps)) return;
  event.preventDefault();
  cells[Math.max(0, Math.min(cells.length - 1, from + steps[event.key]))].focus();
}

// Charts.

function draw(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
function frame(svg, marks, label, y) {
  const box = svg.getBoundingClientRect(), left = 48, right = box.width - 4, top = 8, bottom = box.height - 20;
  const end = points.at(-1)?.at ?? 0, begin = Math.min(end - 300, points[0]?.at ?? end);
  const x = (time) => left + ((time - begin) / (end - begin)) * (right - left);
  const height = (value) => bottom - y(value) * (bottom - top);
  const parts = [];
  for (const mark of marks) {
    parts.push(draw("line", { class: "grid", x1: left, x2: right, y1: height(mark), y2: height(mark) }));
    parts.push(draw("text", { x: left - 8, y: height(mark) + 4, "text-anchor": "end" }, label(mark)));
  }
  parts.push(draw("text", { x: left, y: box.height - 3 }, `${span(end - begin)} ago`));
  parts.push(draw("text", { x: right, y: box.height - 3, "text-anchor": "end" }, "now"));
  return { x, height, parts };
}
function showLatency() {
  const marks = [0.1, 1, 10, 60, 600, 3600], log = (s) => Math.log(Math.max(s, 0.1) / 0.1) / Math.log(36000);
  const most = Math.max(10, ...points.map((it) => it.most_s ?? 0)), top = marks.find((mark) => mark >= most) ?? 3600;
  const shown = marks.filter((mark) => mark <= top);
  const { x, height, parts } = frame(at("latency"), shown, span, (s) => log(Math.min(s, top)) / log(top));
  for (const it of points.filter((it) => it.half_s !== null)) {
    if (it.most_s > it.half_s) parts.push(draw("line", { class: "range", x1: x(it.at), x2: x(it.at), y1: height(it.half_s), y2: height(it.most_s) }));
    parts.push(draw("circle", { class: "dot", cx: x(it.at), cy: height(it.half_s), r: 2.5 }));
  }
  at("latency").replaceChildren(...parts);
  const files = points.reduce((sum, it) => sum + it.files, 0);
  set("latency-says", files ? `${many(files, "file", "files")} in the time shown. Dot: half of them; line: up to 95 of 100. At most, from the last look without the file.` : "No file came in the time shown.");
}
function showRate() {
  const onWire = points.some((it) => it.rpcs !== null), value = (it) => (onWire ? it.rpcs : it.looks);
  const most = Math.max(1, ...points.map((it) => Math.max(value(it) ?? 0, it.budget ?? 0))) * 1.05;
  const step = [1, 2, 5].map((n) => n * 10 ** Math.floor(Math.log10(most / 2))).filter((n) => most / n <= 5)[0] ?? most;
  const marks = [];
  for (let mark = 0; mark <= most; mark += step) marks.push(mark);
  const { x, height, parts } = frame(at("rate"), marks, (n) => whole(+n.toPrecision(3)), (n) => n / most);
  // The first point twice: alone it is a dot then, and not nothing.
  const path = (pick) => {
    const places = points.filter((it) => pick(it) !== null).map((it) => `${x(it.at).toFixed(1)} ${height(pick(it)).toFixed(1)}`);
    return places.length ? `M${places[0]}L${places.join("L")}` : "";
  };
  parts.push(draw("path", { class: "limit", d: path((it) => it.budget) }));
  parts.push(draw("path", { class: "line", d: path(value) }));
  at("rate").replaceChildren(...parts);
  const last = points.at(-1);
  const what = onWire ? "RPCs" : "Looks (no NFS mount: no RPCs)";
  set("rate-says", last ? `${what}: ${rate(value(last))} now. Dashed: ${rate(last.budget)} RPCs allowed.` : "Figures come every 5 s.");
}
function showCharts() {
  showLatency();
  showRate();
}

// Questions.

async function explain(path) {
  const answer = at("answer");
  const say = (text) => answer.replaceChildren(make("p", { textContent: text }));
  try {
    const reply = await fetch(`/explain?path=${encodeURIComponent(path)}`);
    if (!reply.ok) return say((await reply.text()).trim());
    const told = await reply.json();
    const facts = told.facts.flatMap(([what, value]) => [make("dt", { textContent: what }), make("dd", { textContent: value })]);
    answer.replaceChildren(make("p", { textContent: `${told.path}: ${told.state}` }), make("dl", {}, ...facts));
  } catch {
    say("The agent does not answer.");
  }
}

function show() {
  set("asof", `As of ${new Date(report.at_seconds * 1000).toLocaleTimeString([], { hour12: false })}`);
  showVerdict();
  showFigures();
  showTables();
  showMap();
}

function listen() {
  const news = new EventSource("/events");
  const take = (name, then) => news.addEventListener(name, (event) => {
    heard = Date.now();
    then(JSON.parse(event.data));
  });
  take("history", (all) => { points = all; showCharts(); });
  take("points", (some) => {
    if (some.length === 0) return;
    points = [...points, ...some].slice(-KEPT);
    showCharts();
  });
  take("report", (it) => { report = it; show(); });
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const path = at("find").value.trim();
  if (path) explain(path);
});
at("map").addEventListener("keydown", walkMap);
at("map").addEventListener("focusin", (event) => point(event.target));
at("map").addEventListener("pointerover", (event) => point(event.target));
at("map").addEventListener("click", (event) => {
  const line = event.target.line;
  if (!line) return;
  at("find").value = line.path;
  explain(line.path);
  at("form").scrollIntoView({ block: "nearest" });
});
new ResizeObserver(showCharts).observe(at("rate"));
setInterval(() => {
  if (report) showVerdict();
}, 1000);
listen();

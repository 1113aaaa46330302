// What the reader has chosen, and everything drawn anew from it.

const content = JSON.parse(document.getElementById("data").textContent);
const families = new Map(content.families.map((family) => [family.key, family]));
const GUIDANCE = { cfg: "with guidance", nocfg: "without guidance" };
const element = (id) => document.getElementById(id);
const state = {
  source: content.sources[0], guidance: "cfg", x: "fid", y: "geneval",
  shown: new Set(content.sources[0].families),
  box: null, // {x: [from, to], y: [from, to]} in the axes' units
  sort: { key: "fid", sign: 1 }, all: false,
};
let view = null; // the plot
let drawn = 0; // counts drawings, so that a late one does not replace a newer

const values = (row) => ({ ...row[state.guidance], ...row.t2i });
const intervals = (row) => ({ ...row.intervals[state.guidance], ...row.intervals.t2i });
const columnOf = (key) => state.source.columns.find((column) => column.key === key);
const inBox = (point, box) => !box ||
  ["x", "y"].every((axis) => box[axis][0] <= point[axis] && point[axis] <= box[axis][1]);

// The methods that have both numbers, in the families shown.
function points() {
  const [x, y] = [columnOf(state.x), columnOf(state.y)];
  return state.source.rows.filter((row) => state.shown.has(row.family)).flatMap((row) => {
    const of = values(row);
    if (of[x.key] === undefined || of[y.key] === undefined) return [];
    const texts = { [x.title]: printed(x, of[x.key]), [y.title]: printed(y, of[y.key]) };
    const said = `${row.name}: ${Object.entries(texts).map(([title, text]) => `${title} ${text}`).join(", ")}`;
    const { method, name, family } = row;
    return [{ method, name, family, x: of[x.key], y: of[y.key], said, tooltip: { title: name, ...texts } }];
  });
}

const rounded = (value) => (value === null ? "–" : value.toFixed(3).replace("-", "−"));

function setData(id, value, text) {
  element(id).value = value ?? "";
  element(id).textContent = text;
}

// What the sign of r means, where both columns have a better direction.
function verdict(r, interval, n) {
  if (n < content.fewest) return `Too few for r, which needs at least ${content.fewest} points.`;
  if (r === null) return "r is undefined: a column is constant over these points.";
  const [x, y] = [columnOf(state.x), columnOf(state.y)];
  const means = x.better && y.better
    ? `${x.better === y.better ? "Positive" : "Negative"} here means: better on one, better on the other. ` : "";
  const zero = interval[0] <= 0 && interval[1] >= 0;
  return means + (zero
    ? "The interval contains 0: these points do not show whether the two are correlated."
    : "The interval does not contain 0.");
}

function showStatistics(all) {
  const found = all.filter((point) => inBox(point, state.box));
  const [x, y] = ["x", "y"].map((axis) => found.map((point) => point[axis]));
  const r = pearson(x, y, content.fewest);
  const interval = fisherInterval(r, found.length);
  setData("r", r, rounded(r));
  const rho = spearman(x, y, content.fewest);
  setData("rho", rho, rounded(rho));
  setData("n", found.length, state.box ? `${found.length} of ${all.length}` : String(found.length));
  element("interval").textContent = interval ? `${rounded(interval[0])} to ${rounded(interval[1])}` : "–";
  element("interval").dataset.interval = interval ? interval.join(" ") : "";
  element("verdict").textContent = verdict(r, interval, found.length);
  const without = state.source.rows
    .filter((row) => state.shown.has(row.family) && !all.some((point) => point.method === row.method));
  element("left-out").textContent = without.length
    ? `Not shown, because they lack a value on one axis: ${without.map((row) => row.name).join(", ")}.` : "";
}

function showRanges() {
  for (const axis of ["x", "y"]) {
    element(`${axis}-name`).textContent = columnOf(state[axis]).title;
    const { digits } = columnOf(state[axis]);
    ["from", "to"].forEach((end, index) => {
      const value = state.box?.[axis][index];
      if (document.activeElement === element(`${axis}-${end}`)) return; // not while it is typed
      element(`${axis}-${end}`).value = Number.isFinite(value) ? value.toFixed(digits + 1) : "";
    });
  }
  element("clear").disabled = !state.box;
}

// The rectangle as the plot draws it, whose scales know no infinity.
function finite(box) {
  const far = (value) => Math.max(-1e12, Math.min(1e12, value));
  return box && { x: box.x.map(far), y: box.y.map(far) };
}

// A rectangle, or a change of it: nothing is drawn anew but its frame and what is in it.
function select(box) {
  state.box = box;
  view?.signal("box", finite(box)).runAsync();
  showRanges();
  showStatistics(points());
  const chosen = box ? new Set(points().filter((point) => inBox(point, box)).map((point) => point.method)) : new Set();
  for (const line of element("board").tBodies[0].rows) line.classList.toggle("selected", chosen.has(line.dataset.method));
}

function open(method) {
  const row = state.source.rows.find((candidate) => candidate.method === method);
  showDetails(element("details"), element("details-body"), row, state.source, families.get(row.family));
}

async function showChart(all) {
  const chart = element("chart");
  const width = chart.clientWidth;
  if (!width) return; // the page is not laid out, for example while it is printed
  const titles = { x: columnOf(state.x).title, y: columnOf(state.y).title };
  const height = Math.round(Math.max(300, Math.min(520, width * 0.68)));
  chart.setAttribute("aria-label", `Scatter plot of ${titles.y} over ${titles.x}`);
  chart.style.minHeight = `${height}px`;
  const number = ++drawn;
  const place = make("div");
  const on = { select, open, box: () => state.box };
  const made = await draw(place, specification(all, content.families, titles, [width, height]), on);
  if (number !== drawn) return made.finalize();
  view?.finalize();
  view = made;
  chart.replaceChildren(place);
  await view.signal("box", finite(state.box)).runAsync();
  chart.dataset.points = all.length;
  document.documentElement.dataset.ready = Math.round(performance.now());
}

function showBoard() {
  const columns = state.source.columns.filter((column) => state.all || column.main);
  const chosen = state.box ? new Set(points().filter((p) => inBox(p, state.box)).map((p) => p.method)) : new Set();
  fillBoard(element("board"), {
    rows: state.source.rows, columns, families, values, intervals, sort: state.sort, guidance: GUIDANCE[state.guidance],
    marks: (row) => row.marks[state.guidance] ?? {}, selected: (row) => chosen.has(row.method), onOpen: open,
    onSort: (column) => {
      const first = column.better === "higher" ? -1 : 1; // the best first, then the other way
      state.sort = { key: column.key, sign: state.sort.key === column.key ? -state.sort.sign : first };
      showBoard();
      element("board").querySelector(`[data-key="${column.key}"]`).focus();
    },
  });
}

// The source's own columns: what was chosen stays where it has it, else the first of an axis.
function fit() {
  const has = (key) => Boolean(columnOf(key));
  const first = (axis) => (state.source.columns.find((c) => c.axis === axis && c.main) ?? state.source.columns[0]).key;
  if (!has(state.x)) state.x = first("imagenet");
  if (!has(state.y)) state.y = first("t2i");
  if (!has(state.sort.key) && state.sort.key !== "name") state.sort = { key: state.x, sign: 1 };
  if (!state.source.guidances.includes(state.guidance)) state.guidance = "cfg";
}

function render() {
  const all = points();
  showLegend();
  showStatistics(all);
  showRanges();
  showBoard();
  return showChart(all);
}

// The arrow keys go through the points in the order of an axis; Enter opens the one pointed at.
function onKey(event) {
  const move = { ArrowRight: ["x", 1], ArrowLeft: ["x", -1], ArrowUp: ["y", 1], ArrowDown: ["y", -1] }[event.key];
  const focused = view.signal("focused");
  if (event.key === "Escape") select(null);
  else if ((event.key === "Enter" || event.key === " ") && focused) open(focused);
  else if (move) pointAt(move[0], move[1], focused);
  else return;
  event.preventDefault();
}

function pointAt(axis, step, focused) {
  const order = points().sort((a, b) => a[axis] - b[axis]);
  if (!order.length) return;
  const current = order.findIndex((point) => point.method === focused);
  const next = order[current < 0 ? 0 : (current + step + order.length) % order.length];
  view.signal("focused", next.method).runAsync();
  element("pointed").textContent = next.said;
}

// A typed range; an end left empty is open.
function readRanges() {
  const end = (id, open) => (element(id).value === "" ? open : Number(element(id).value));
  const box = {
    x: [end("x-from", -Infinity), end("x-to", Infinity)],
    y: [end("y-from", -Infinity), end("y-to", Infinity)],
  };
  select([...box.x, ...box.y].some(Number.isFinite) ? box : null);
}

function start() {
  for (const { key, colour } of content.families) { // lighter on a dark page
    const light = `color-mix(in oklab, ${colour}, white 38%)`;
    document.documentElement.style.setProperty(`--${key}`, `light-dark(${colour}, ${light})`);
  }
  for (const axis of ["x", "y"]) {
    element(axis).addEventListener("change", () => {
      state[axis] = element(axis).value;
      state.box = null;
      render();
    });
    for (const end of ["from", "to"]) element(`${axis}-${end}`).addEventListener("input", readRanges);
  }
  element("clear").addEventListener("click", () => select(null));
  element("all-columns").addEventListener("change", (event) => {
    state.all = event.target.checked;
    showBoard();
  });
  element("chart").addEventListener("keydown", onKey);
  element("chart").addEventListener("blur", () => view?.signal("focused", null).runAsync());
  element("close").addEventListener("click", () => element("details").close());
  element("made").textContent = `Made by ${content.program}.`;
  let width = element("chart").clientWidth;
  new ResizeObserver(() => {
    if (element("chart").clientWidth === width) return;
    width = element("chart").clientWidth;
    showChart(points());
  }).observe(element("chart"));
  fit();
  showSwitches();
  render();
}

start();

// The table of all methods, sorted by any of its columns.

const AXES = { imagenet: "ImageNet", t2i: "Text-to-image" };

// An element with attributes and children; text is never read as HTML.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const SHAPE_PATHS = {
  circle: "M7 2a5 5 0 1 0 .01 0z", square: "M2.5 2.5h9v9h-9z", "triangle-up": "M7 1.5l5.5 10.5h-11z",
  diamond: "M7 .8l5 6.2-5 6.2-5-6.2z", cross: "M5 1.5h4V5h3.5v4H9v3.5H5V9H1.5V5H5z",
};

// A family's mark, as the plot shows it.
function swatch(family) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 14 14");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPE_PATHS[family.shape]);
  path.setAttribute("fill", `var(--${family.key})`);
  svg.append(path);
  return svg;
}

const printed = (column, value) => (value === undefined ? "–" : value.toFixed(column.digits).replace("-", "−"));

// What stands below a number in small print: its 95 % interval and its chance level, where these are known.
function noise(column, ends, chance) {
  const print = (number) => printed(column, number);
  const small = [
    ...(ends ? [`${print(ends[0])} to ${print(ends[1])}`] : []),
    ...(chance === undefined ? [] : [`chance ${print(chance)}`]),
  ];
  return small.length ? make("small", { class: "noise" }, ...small.map((text) => make("span", {}, text))) : "";
}

// Rows in order; those without the value come last, whichever way it is sorted.
function sorted(rows, values, sort) {
  if (sort.key === "name") return [...rows].sort((a, b) => sort.sign * a.name.localeCompare(b.name));
  const of = (row) => values(row)[sort.key];
  return [...rows].sort((a, b) => {
    if (of(a) === undefined || of(b) === undefined) return (of(a) === undefined) - (of(b) === undefined);
    return sort.sign * (of(a) - of(b));
  });
}

// What a method is measured on where that is one axis only, else null.
function onlyAxis(row) {
  const [imagenet, text] = [row.cfg || row.nocfg, row.t2i].map((part) => part && Object.keys(part).length > 0);
  return imagenet && text ? null : imagenet ? AXES.imagenet : AXES.t2i;
}

function heading(column, sort, onSort) {
  const direction = sort.key === column.key ? (sort.sign > 0 ? "ascending" : "descending") : null;
  const button = make("button", { type: "button", "data-key": column.key, click: () => onSort(column) }, column.title);
  return make("th", { scope: "col", "aria-sort": direction }, button);
}

// The groups of neighbouring columns that stand under one axis' name.
function axisHeadings(columns, guidance) {
  const count = (axis) => columns.filter((column) => column.axis === axis).length;
  const titles = { ...AXES, imagenet: `${AXES.imagenet}, ${guidance}` };
  return Object.keys(AXES).filter(count).map((axis) =>
    make("th", { scope: "colgroup", colspan: count(axis), class: "axis" }, titles[axis]));
}

function boardRow(row, rank, { columns, families, values, intervals, marks, selected, onOpen }) {
  const family = families.get(row.family);
  const only = onlyAxis(row);
  const name = make("th", { scope: "row" }, swatch(family),
    make("button", { type: "button", class: "link", "data-method": row.method, title: family.title, click: () => onOpen(row.method) },
      row.name),
    make("span", { class: "sr-only" }, ` ${family.title}`));
  if (only) name.append(" ", make("span", { class: "badge" }, `task-specific: ${only} only`));
  const cells = columns.map((column) => {
    const mark = marks(row)[column.key];
    const of = values(row);
    const text = printed(column, of[column.key]);
    const number = mark === "best" ? make("b", {}, text) : mark === "second" ? make("u", {}, text) : text;
    return make("td", {}, number, noise(column, intervals(row)[column.key], of[column.chance]));
  });
  return make("tr", { class: selected(row) ? "selected" : null, "data-method": row.method },
    make("td", { class: "rank" }, rank), name, ...cells);
}

// Fill `table`. `shown`: {rows, columns, families, values, intervals, marks, selected, sort, guidance, onSort, onOpen}.
function fillBoard(table, shown) {
  const { columns, sort, onSort } = shown;
  const title = { key: "name", title: "Method" };
  const head = make("thead", {},
    make("tr", {}, make("td", { colspan: 2 }), ...axisHeadings(columns, shown.guidance)),
    make("tr", {}, make("th", { scope: "col", class: "rank" }, "#"),
      ...[title, ...columns].map((column) => heading(column, sort, onSort))));
  let rank = 0;
  const body = make("tbody", {}, ...sorted(shown.rows, shown.values, sort).map((row) => {
    const ranked = row.family !== "public" && (sort.key === "name" || shown.values(row)[sort.key] !== undefined);
    return boardRow(row, ranked ? String(++rank) : "–", shown);
  }));
  table.replaceChildren(head, body);
}

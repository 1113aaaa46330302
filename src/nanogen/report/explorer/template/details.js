// One method: its numbers on both axes, a few samples, and where the numbers come from.

const PARTS = { cfg: "ImageNet, with guidance", nocfg: "ImageNet, without guidance", t2i: "Text-to-image" };

// A table of a method's numbers: a line per column of an axis, a cell per sample set.
function numbers(row, columns, parts) {
  const shown = columns.filter((column) => parts.some((part) => row[part]?.[column.key] !== undefined));
  if (!shown.length) return [];
  const head = make("tr", {}, make("td"), ...parts.map((part) => make("th", { scope: "col" }, PARTS[part])));
  const lines = shown.map((column) => make("tr", {}, make("th", { scope: "row" }, column.title),
    ...parts.map((part) => make("td", {}, printed(column, row[part]?.[column.key]),
      noise(column, row.intervals[part]?.[column.key], row[part]?.[column.chance])))));
  return [make("table", { class: "numbers" }, make("thead", {}, head), make("tbody", {}, ...lines))];
}

function further(row, columns) {
  return row.further.map(({ title, values }) => make("p", {}, `${title}: `, columns
    .filter((column) => values[column.key] !== undefined)
    .map((column) => `${column.title} ${printed(column, values[column.key])}`).join(", ")));
}

function samples(row) {
  return Object.entries(row.samples ?? {}).filter(([, images]) => images.length).flatMap(([part, images]) => [
    make("h3", {}, `Samples: ${PARTS[part]}`),
    make("ul", { class: "samples" }, ...images.map(({ source, caption }) =>
      make("li", {}, make("img", { src: source, alt: `Sample of ${row.name}: ${caption}`, loading: "lazy" }), caption))),
  ]);
}

function provenance(row, source) {
  if (!row.provenance) return [make("p", { class: "hint" }, source.note)];
  return Object.entries(row.provenance).map(([part, metrics]) => make("details", {},
    make("summary", {}, `Provenance: ${PARTS[part]}`),
    make("dl", { class: "provenance" }, ...metrics.flatMap((metric) => [
      make("dt", {}, metric.metric, " ", make("code", { title: "hash of the configuration" }, metric.hash)),
      make("dd", {}, metric.protocol, make("br"), make("code", {}, metric.file), make("br"),
        `made by ${metric.program} from `, make("code", {}, Object.entries(metric.inputs)
          .map(([name, hash]) => `${name} ${hash}`).join(", ") || "–")),
    ]))));
}

// Show the dialog; the browser gives the focus back to what opened it.
function showDetails(dialog, body, row, source, family) {
  const of = (axis) => source.columns.filter((column) => column.axis === axis);
  const only = onlyAxis(row);
  body.replaceChildren(
    make("h2", { id: "details-title" }, row.name),
    make("p", { class: "family" }, swatch(family), ` ${family.title} · ${source.title}`,
      ...Object.entries(row.facts).map(([name, text]) => ` · ${name} ${text}`)),
    ...(only ? [make("p", {}, make("span", { class: "badge" }, `task-specific: ${only} only`))] : []),
    make("div", { class: "columns" },
      make("div", {}, ...numbers(row, of("imagenet"), source.guidances)),
      make("div", {}, ...numbers(row, of("t2i"), ["t2i"]), ...further(row, of("t2i")))),
    ...samples(row),
    make("h3", {}, "Where the numbers come from"),
    ...provenance(row, source));
  dialog.showModal();
  dialog.scrollTop = 0;
}

// The scatter plot: a Vega specification and what passes between it and the page.

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif";
const INSIDE =
  "!box || (datum.x >= box.x[0] && datum.x <= box.x[1] && datum.y >= box.y[0] && datum.y <= box.y[1])";

const axis = (orient, title, count) => ({
  orient, scale: orient === "left" ? "y" : "x", title, tickCount: count,
  grid: true, domain: false, ticks: false, labelPadding: 6, titlePadding: 10,
  gridColor: "var(--line)", labelColor: "var(--faint)", titleColor: "var(--ink)",
  labelFont: FONT, titleFont: FONT, labelFontSize: 12, titleFontSize: 13, titleFontWeight: 600,
});

// A rectangle drawn with the pointer, in pixels of the plot; a click leaves `drag` null.
const DRAG = [
  { name: "start", value: null, on: [{ events: "pointerdown", update: "[x(), y()]" }] },
  {
    name: "drag", value: null, on: [
      { events: "pointerdown", update: "null" },
      {
        events: "[pointerdown, window:pointerup] > window:pointermove!",
        update: "[clamp(start[0], 0, width), clamp(start[1], 0, height), clamp(x(), 0, width), clamp(y(), 0, height)]",
      },
    ],
  },
];

function pointMarks(families) {
  const keys = families.map((family) => family.key);
  const colours = { name: "colour", type: "ordinal", domain: keys, range: keys.map((key) => `var(--${key})`) };
  const shapes = { name: "shape", type: "ordinal", domain: keys, range: families.map((family) => family.shape) };
  const points = {
    type: "symbol", name: "symbols", from: { data: "points" },
    encode: {
      enter: {
        x: { scale: "x", field: "x" }, y: { scale: "y", field: "y" },
        shape: { scale: "shape", field: "family" }, fill: { scale: "colour", field: "family" },
        cursor: { value: "pointer" }, description: { field: "said" }, tooltip: { field: "tooltip" },
      },
      update: {
        size: { signal: "datum.method === focused ? 260 : 90" },
        stroke: { signal: "datum.method === focused ? 'var(--ink)' : 'var(--paper)'" },
        strokeWidth: { signal: "datum.method === focused ? 2.5 : 1" },
        opacity: { signal: `${INSIDE} ? 1 : 0.22` },
      },
      hover: { size: { value: 170 } },
    },
  };
  const labels = {
    type: "text", from: { data: "symbols" }, interactive: false, aria: false,
    encode: {
      enter: {
        text: { field: "datum.name" }, font: { value: FONT }, fontSize: { value: 11 },
        fill: { value: "var(--faint)" },
      },
    },
    transform: [{
      type: "label", size: { signal: "[width, height]" }, avoidMarks: ["symbols"],
      anchor: ["right", "left", "top", "bottom", "top-right", "bottom-right", "top-left", "bottom-left"], offset: [3],
    }],
  };
  return { scales: [colours, shapes], marks: [points, labels] };
}

// A side of the rectangle in pixels, at most the plot's own: a range may be open.
const edge = (name, index) => ({
  signal: `box ? clamp(scale('${name}', box.${name}[${index}]), 0, ${name === "x" ? "width" : "height"}) : 0`,
});
const RECTANGLE = {
  type: "rect", interactive: false, aria: false,
  encode: {
    update: {
      x: edge("x", 0), x2: edge("x", 1), y: edge("y", 1), y2: edge("y", 0),
      fill: { value: "var(--accent)" }, fillOpacity: { value: 0.1 },
      stroke: { value: "var(--accent)" }, strokeWidth: { signal: "box ? 1.5 : 0" },
    },
  },
};

// `points`: {method, name, family, x, y, said, tooltip}; `titles`: of the axes; `size`: [width, height].
function specification(points, families, titles, size) {
  const { scales, marks } = pointMarks(families);
  const linear = (name, range) => ({
    name, type: "linear", range, nice: true, zero: false, padding: 18, domain: { data: "points", field: name },
  });
  const longest = Math.max(3, ...points.map((point) => point.y.toFixed(1).length)); // of the numbers at the left
  const padding = { left: 44 + 7 * longest, right: 14, top: 8, bottom: 48 };
  const width = Math.max(100, size[0] - padding.left - padding.right);
  const height = Math.max(100, size[1] - padding.top - padding.bottom);
  return {
    width, height, padding, autosize: "none",
    description: `Scatter plot of ${titles.y} over ${titles.x}, ${points.length} methods`,
    signals: [{ name: "box", value: null }, { name: "focused", value: null }, ...DRAG],
    data: [{ name: "points", values: points }],
    scales: [linear("x", "width"), linear("y", "height"), ...scales],
    axes: [axis("bottom", titles.x, Math.ceil(width / 90)), axis("left", titles.y, Math.ceil(height / 70))],
    marks: [RECTANGLE, ...marks],
  };
}

// Pixels of a drag as ranges of the data; null where it is a click with an unsteady hand.
function draggedBox(view, drag) {
  if (!drag || Math.hypot(drag[2] - drag[0], drag[3] - drag[1]) < 5) return null;
  const sorted = (scale, from, to) => [from, to].map((pixel) => view.scale(scale).invert(pixel)).sort((a, b) => a - b);
  return { x: sorted("x", drag[0], drag[2]), y: sorted("y", drag[1], drag[3]) };
}

// Draw into `element` and return the view. `on.box()` is the
// selection; `on.select(box or null)` and `on.open(method)` are called when the reader selects or opens something.
async function draw(element, spec, on) {
  const tooltip = { disableDefaultStyle: true, theme: "page" };
  const options = { mode: "vega", renderer: "svg", actions: false, defaultStyle: false, ast: true, tooltip };
  const { view } = await vegaEmbed(element, spec, options);
  view.addSignalListener("drag", (_, drag) => {
    const box = draggedBox(view, drag);
    if (box) on.select(box);
  });
  // A finger that scrolls the page begins as a drag and is then cancelled: end the drag, and undo its selection.
  let before = null;
  element.addEventListener("pointerdown", () => { before = on.box(); }, true);
  element.addEventListener("pointercancel", async () => {
    window.dispatchEvent(new PointerEvent("pointerup"));
    await view.runAsync(); // moves that came before
    await view.signal("drag", null).runAsync();
    on.select(before);
  });
  view.addEventListener("click", (_, item) => {
    if (draggedBox(view, view.signal("drag"))) return; // the end of a drag is a click as well
    if (item?.datum?.method) on.open(item.datum.method);
    else on.select(null);
  });
  return view;
}

// Legend, switches and the choice of columns: made from the state of `main.js`, and they change it.

function showLegend() {
  const used = content.families.filter((family) => state.source.rows.some((row) => row.family === family.key));
  element("legend").replaceChildren(...used.map((family) => {
    const count = state.source.rows.filter((row) => row.family === family.key).length;
    const press = () => {
      if (!state.shown.delete(family.key)) state.shown.add(family.key);
      render();
      element("legend").querySelector(`[data-family="${family.key}"]`).focus();
    };
    const pressed = String(state.shown.has(family.key));
    return make("button", { type: "button", "aria-pressed": pressed, "data-family": family.key, click: press },
      swatch(family), ` ${family.title} `, make("span", { class: "count" }, String(count)));
  }));
}

// A choice among few, as radio buttons; hidden where there is nothing to choose.
function showSegments(id, options, current, choose) {
  element(id).hidden = Object.keys(options).length < 2;
  element(id).querySelectorAll("label").forEach((label) => label.remove());
  element(id).append(...Object.entries(options).map(([key, title]) => make("label", {},
    make("input", { type: "radio", name: id, value: key, checked: key === current, change: () => choose(key) }),
    make("span", {}, title))));
}

function showSelects() {
  for (const axis of ["x", "y"]) {
    const groups = Object.entries(AXES).map(([key, title]) => make("optgroup", { label: title }, ...state.source.columns
      .filter((column) => column.axis === key)
      .map((column) => make("option", { value: column.key, selected: column.key === state[axis] }, column.title))));
    element(axis).replaceChildren(...groups.filter((group) => group.children.length));
    element(axis).value = state[axis];
  }
}

function showSwitches() {
  const sources = Object.fromEntries(content.sources.map((source) => [source.key, source.title]));
  showSegments("sources", sources, state.source.key, (key) => {
    state.source = content.sources.find((source) => source.key === key);
    state.shown = new Set(state.source.families);
    state.box = null;
    fit();
    showSwitches();
    render();
    element("sources").querySelector(":checked").focus();
  });
  const guidances = Object.fromEntries(state.source.guidances.map((key) => [key, GUIDANCE[key]]));
  showSegments("guidances", guidances, state.guidance, (key) => {
    state.guidance = key;
    state.box = null;
    render();
  });
  showSelects();
  document.body.dataset.kind = state.source.key === "published" ? "published" : "measured";
  element("note").textContent = [state.source.note, state.source.chance].filter(Boolean).join(" ");
  element("warning").textContent = state.source.warning;
  element("warning").hidden = !state.source.warning;
}

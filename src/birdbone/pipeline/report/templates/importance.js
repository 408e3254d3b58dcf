const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const layers = [...new Set(data.linears.map((linear) => linear.layer))].sort((a, b) => a - b);
const roles = [...new Set(data.linears.map((linear) => linear.role))];
const START = { cell: Math.max(18, Math.min(44, Math.floor(640 / layers.length))), from: layers[0], to: layers.at(-1) };
const state = { ...START, roles: new Set(roles), chosen: null, focus: 0, sort: null, down: true, view: { x: 0, y: 0, span: 1 } };

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
function html(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
const label = (x, y, words, css) => svg("text", { x, y, class: css }, words);
const measureOf = (key) => data.measures.find((measure) => measure[0] === key);
const metric = () => at("metric").value;
const measure = () => measureOf(at("measure").value);
const size = (value) => (value !== 0 && (value < 1e-3 || value >= 1e5) ? value.toExponential(2) : Number(value.toPrecision(3)).toString());
const words = (value, kind) => (value === null ? "not measured" : kind === "share" ? `${(100 * value).toFixed(1)} %` : size(value));
const isShown = (linear) => linear.layer >= state.from && linear.layer <= state.to && state.roles.has(linear.role);
const shown = () => data.linears.map((linear, index) => index).filter((index) => isShown(data.linears[index]));
const valueOf = (index) => data.values[metric()][measure()[0]][index];

/* Shades: even steps of a share, even factors of a size. */
function shades(values, kind) {
  const positive = values.filter((value) => value > 0);
  const isLog = kind === "size" && positive.length > 0;
  const [low, high] = isLog ? [Math.min(...positive), Math.max(...positive)] : [Math.min(...values), Math.max(...values)];
  if (!(high > low)) return { of: () => 3, bounds: [low, high] };
  const bounds = Array.from({ length: 7 }, (_, step) => (isLog ? low * (high / low) ** (step / 6) : low + ((high - low) * step) / 6));
  return { of: (value) => Math.min(5, bounds.slice(1, 6).filter((bound) => value >= bound).length), bounds };
}
function showLegend(place, scale, kind) {
  const steps = scale.bounds.length === 2 ? [[3, scale.bounds[0]]] : scale.bounds.slice(0, 6).map((bound, step) => [step, bound, scale.bounds[step + 1]]);
  place.replaceChildren(...steps.map(([step, low, high]) => html("li", {}, html("span", { class: `swatch q${step}` }), high === undefined ? words(low, kind) : `${words(low, kind)} to ${words(high, kind)}`)));
}

function drawHeat(isFocused) {
  const places = shown(), kind = measure()[2], cell = state.cell;
  const rows = roles.filter((role) => state.roles.has(role)), columns = layers.filter((layer) => layer >= state.from && layer <= state.to);
  const byRole = at("shades").value === "role";
  const whole = shades(places.map(valueOf), kind);
  const scales = Object.fromEntries(rows.map((role) => [role, byRole ? shades(places.filter((index) => data.linears[index].role === role).map(valueOf), kind) : whole]));
  const left = 14 + 7.5 * Math.max(0, ...rows.map((role) => role.length)), top = 32;
  const parts = [label(left, 12, "layer", "axis")];
  const every = cell >= 20 && columns.length <= 40 ? 1 : 5;
  columns.forEach((layer, column) => layer % every === 0 && parts.push(label(left + (column + 0.5) * cell, top - 6, String(layer), "tick middle")));
  rows.forEach((role, row) => parts.push(label(left - 8, top + (row + 0.65) * cell, role, "tick end")));
  state.focus = Math.min(state.focus, Math.max(0, places.length - 1));
  places.forEach((index, order) => {
    const linear = data.linears[index], value = valueOf(index), step = scales[linear.role].of(value);
    const x = left + columns.indexOf(linear.layer) * cell, y = top + rows.indexOf(linear.role) * cell;
    const told = `layer ${linear.layer}, ${linear.role}: ${words(value, kind)}`;
    const square = svg("rect", { x: x + 1, y: y + 1, width: cell - 2, height: cell - 2, rx: 2, class: `cell q${step}${state.chosen === index ? " chosen" : ""}`, tabindex: order === state.focus ? 0 : -1, role: "button", "aria-pressed": state.chosen === index, "aria-label": told }, svg("title", {}, told));
    square.dataset.order = order;
    square.addEventListener("focus", () => { state.focus = order; tell(index); });
    square.addEventListener("mouseenter", () => tell(index));
    square.addEventListener("click", () => choose(index));
    parts.push(square);
    if (cell >= 40) parts.push(label(x + cell / 2, y + cell / 2 + 4, words(value, kind).replace(" %", ""), `in on-q${step}`));
  });
  const width = left + columns.length * cell + 10, height = top + rows.length * cell + 8;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": `${measure()[1]} of ${metric()} by layer and role` }, ...parts);
  drawing.addEventListener("keydown", (event) => moveInHeat(event, places, rows));
  at("heat").replaceChildren(drawing);
  if (isFocused) drawing.querySelector('[tabindex="0"]')?.focus();
  if (byRole) at("heat-legend").replaceChildren(html("li", {}, "From the least of a role"), ...[0, 1, 2, 3, 4, 5].map((step) => html("li", {}, html("span", { class: `swatch q${step}` }))), html("li", {}, "to its most"));
  else showLegend(at("heat-legend"), whole, kind);
}
function tell(index) {
  const linear = data.linears[index];
  at("readout").textContent = `${linear.path}: ${measure()[1]} ${words(valueOf(index), measure()[2])}, ${linear.weights.toLocaleString("en")} weights`;
}
function moveInHeat(event, places, rows) {
  const here = data.linears[places[state.focus]];
  if (!here) return;
  const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (by) {
    const layer = here.layer + by[0], role = rows[rows.indexOf(here.role) + by[1]];
    const order = places.findIndex((index) => data.linears[index].layer === layer && data.linears[index].role === role);
    if (order >= 0) { at("heat").querySelector('[tabindex="0"]').setAttribute("tabindex", -1); const cell = at("heat").querySelector(`[data-order="${order}"]`); cell.setAttribute("tabindex", 0); cell.focus(); }
  } else if (event.key === "Enter" || event.key === " ") choose(places[state.focus], true);
  else if (event.key === "+" || event.key === "=") resize(1.25, true);
  else if (event.key === "-") resize(0.8, true);
  else return;
  event.preventDefault();
}
function choose(index, isFocused) {
  state.chosen = state.chosen === index ? null : index;
  drawHeat(isFocused);
  drawHistogram();
}
function resize(factor, isFocused) {
  state.cell = Math.max(10, Math.min(72, Math.round(state.cell * factor)));
  drawHeat(isFocused);
}

function drawHistogram() {
  const places = state.chosen === null ? shown() : [state.chosen];
  const edges = data.edges[metric()], counts = edges.slice(1).map((_, bin) => places.reduce((sum, index) => sum + data.histograms[metric()][index][bin], 0));
  const total = counts.reduce((sum, count) => sum + count, 0), peak = Math.max(...counts, 1);
  at("spread-of").textContent = `Scores by ${metric()} of ${state.chosen === null ? `the ${places.length} linears shown above` : data.linears[state.chosen].path}: ${total.toLocaleString("en")} weights.`;
  const left = 64, bottom = 190, width = 800, step = (width - left - 10) / counts.length;
  const bars = counts.map((count, bin) => {
    const height = ((bottom - 14) * count) / peak;
    return svg("rect", { x: left + bin * step, y: bottom - height, width: Math.max(1, step - 1), height, class: "bar" }, svg("title", {}, `${words(edges[bin], "size")} to ${words(edges[bin + 1], "size")}: ${count.toLocaleString("en")} (${words(total ? count / total : 0, "share")})`));
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => label(left + share * (width - left - 10), bottom + 18, words(edges[Math.round(share * counts.length)], "size"), "tick middle"));
  const sides = [label(left - 8, 18, peak.toLocaleString("en"), "tick end"), label(left - 8, bottom, "0", "tick end"), label(width / 2, bottom + 38, "score", "axis middle"), svg("line", { x1: left, y1: bottom, x2: width - 10, y2: bottom, class: "grid" })];
  at("histogram").replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${bottom + 46}`, role: "img", "aria-label": `Histogram of ${total} scores by ${metric()}` }, ...bars, ...ticks, ...sides));
}

/* Agreement of metrics: means over the linears shown, weighted by their size. */
function agreementOf(first, second) {
  if (first === second) return 1;
  const found = data.agreements.find((each) => (each.first === first && each.second === second) || (each.first === second && each.second === first));
  const by = at("agreement").value, values = by === "rank" ? found.rank : found.overlap[by];
  let sum = 0, weight = 0;
  for (const index of shown()) if (values[index] !== null) { sum += values[index] * data.linears[index].weights; weight += data.linears[index].weights; }
  return weight ? sum / weight : null;
}
function drawMatrix() {
  const names = data.metrics, size = 44, left = 12 + 7.5 * Math.max(...names.map((name) => name.length)), top = left - 10;
  const scale = { of: (value) => Math.min(5, Math.max(0, Math.floor(value * 6))), bounds: [0, 1, 2, 3, 4, 5, 6].map((step) => step / 6) };
  const parts = [];
  names.forEach((row, y) => {
    parts.push(label(left - 8, top + (y + 0.6) * size, row, "tick end"));
    parts.push(svg("text", { transform: `translate(${left + (y + 0.6) * size} ${top - 8}) rotate(-60)`, class: "tick" }, row));
    names.forEach((column, x) => {
      const value = agreementOf(row, column), step = value === null ? 0 : scale.of(value);
      parts.push(svg("rect", { x: left + x * size + 1, y: top + y * size + 1, width: size - 2, height: size - 2, rx: 2, class: value === null ? "cell empty" : `cell q${step}` }, svg("title", {}, `${row} and ${column}: ${value === null ? "not measured" : value.toFixed(3)}`)));
      parts.push(label(left + (x + 0.5) * size, top + (y + 0.5) * size + 4, value === null ? "–" : value.toFixed(2), `in on-q${step}`));
    });
  });
  const width = left + names.length * size + 30, height = top + names.length * size + 8;
  at("matrix").replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "Agreement of each pair of metrics" }, ...parts));
  at("matrix-legend").replaceChildren(...scale.bounds.slice(0, 6).map((bound, step) => html("li", {}, html("span", { class: `swatch q${step}` }), step === 0 ? "under 0.17" : `from ${bound.toFixed(2)}`)));
}
function drawScatter(isFocused) {
  const left = 46, side = 320, view = state.view, across = data.metrics.indexOf(at("across").value), up = data.metrics.indexOf(at("up").value);
  const x = (value) => left + ((value - view.x) / view.span) * side, y = (value) => 10 + side - ((value - view.y) / view.span) * side;
  const inside = (value, low) => value >= low && value <= low + view.span;
  const points = [];
  data.sample.linear.forEach((linear, index) => {
    const a = data.sample.ranks[across][index], b = data.sample.ranks[up][index];
    if (isShown(data.linears[linear]) && inside(a, view.x) && inside(b, view.y)) points.push(svg("circle", { cx: x(a), cy: y(b), r: 2.4, class: "point" }, svg("title", {}, `${data.linears[linear].path}: ${a.toFixed(3)}, ${b.toFixed(3)}`)));
  });
  const ticks = [0, 0.5, 1].flatMap((share) => [label(left + share * side, side + 28, (view.x + share * view.span).toFixed(2), "tick middle"), label(left - 6, 14 + side - share * side, (view.y + share * view.span).toFixed(2), "tick end")]);
  const low = Math.max(view.x, view.y), high = Math.min(view.x, view.y) + view.span;
  const diagonal = high > low ? [svg("line", { x1: x(low), y1: y(low), x2: x(high), y2: y(high), class: "diagonal" })] : [];
  const drawing = svg("svg", { viewBox: `0 0 ${left + side + 24} ${side + 56}`, width: left + side + 24, height: side + 56, tabindex: 0, role: "img", "aria-label": `${points.length} weights: rank by ${at("across").value} across, by ${at("up").value} up` }, svg("rect", { x: left, y: 10, width: side, height: side, class: "frame" }), ...diagonal, ...points, ...ticks, label(left + side / 2, side + 48, at("across").value, "axis middle"), svg("text", { transform: `translate(11 ${10 + side / 2}) rotate(-90)`, class: "axis middle" }, at("up").value));
  drawing.addEventListener("keydown", moveInScatter);
  at("scatter").replaceChildren(drawing);
  if (isFocused) drawing.focus();
}
function zoom(factor, isFocused) {
  const view = state.view, span = Math.min(1, Math.max(0.02, view.span * factor));
  state.view = clampView({ x: view.x + (view.span - span) / 2, y: view.y + (view.span - span) / 2, span });
  drawScatter(isFocused);
}
const clampView = ({ x, y, span }) => ({ x: Math.min(1 - span, Math.max(0, x)), y: Math.min(1 - span, Math.max(0, y)), span });
function moveInScatter(event) {
  const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (by) { const view = state.view; state.view = clampView({ x: view.x + by[0] * view.span * 0.2, y: view.y + by[1] * view.span * 0.2, span: view.span }); drawScatter(true); }
  else if (event.key === "+" || event.key === "=") zoom(0.7, true);
  else if (event.key === "-") zoom(1 / 0.7, true);
  else return;
  event.preventDefault();
}

function drawTable() {
  const places = shown(), columns = data.measures.map((each) => each[0]);
  at("table-of").textContent = `By ${metric()}: the ${places.length} linears shown above.`;
  const key = (index) => (state.sort === null ? index : state.sort < 0 ? data.linears[index].path : data.values[metric()][columns[state.sort]][index]);
  if (state.sort !== null) places.sort((a, b) => { const [x, y] = [key(a), key(b)]; const order = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y; return state.down ? -order : order; });
  const head = ["linear", ...data.measures.map((each) => each[1])].map((name, column) => {
    const button = html("button", { type: "button" }, name), cell = html("th", { scope: "col" }, button);
    if (state.sort === column - 1) cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
    button.addEventListener("click", () => { state.down = state.sort === column - 1 ? !state.down : true; state.sort = column - 1; drawTable(); at("rows").querySelectorAll("th button")[column].focus(); });
    return cell;
  });
  const rows = places.map((index) => html("tr", {}, html("th", { scope: "row" }, html("code", {}, data.linears[index].path)), ...data.measures.map(([name, , kind]) => html("td", { class: "number" }, words(data.values[metric()][name][index], kind)))));
  at("rows").replaceChildren(html("table", { class: "close" }, html("thead", {}, html("tr", {}, ...head)), html("tbody", {}, ...rows)));
}

function drawAll() {
  if (state.chosen !== null && !isShown(data.linears[state.chosen])) state.chosen = null;
  drawHeat();
  drawHistogram();
  drawTable();
  if (data.metrics.length > 1) { drawMatrix(); drawScatter(); }
}
function readLayers() {
  state.from = at("from").value === "" ? START.from : Number(at("from").value);
  state.to = at("to").value === "" ? START.to : Number(at("to").value);
  drawAll();
}
at("measure").append(...data.measures.map(([key, name]) => html("option", { value: key }, name)));
for (const role of roles) {
  const box = html("input", { type: "checkbox", checked: "" });
  box.addEventListener("change", () => { box.checked ? state.roles.add(role) : state.roles.delete(role); drawAll(); });
  at("chosen-roles").append(html("label", {}, box, role));
}
for (const [id, value] of [["from", START.from], ["to", START.to]]) { Object.assign(at(id), { value, min: START.from, max: START.to }); at(id).addEventListener("input", readLayers); }
at("metric").addEventListener("change", drawAll);
at("measure").addEventListener("change", () => drawHeat());
at("shades").addEventListener("change", () => drawHeat());
at("larger").addEventListener("click", () => resize(1.25));
at("smaller").addEventListener("click", () => resize(0.8));
at("reset").addEventListener("click", () => {
  Object.assign(state, START, { roles: new Set(roles), chosen: null });
  Object.assign(at("from"), { value: START.from });
  Object.assign(at("to"), { value: START.to });
  for (const box of at("chosen-roles").querySelectorAll("input")) box.checked = true;
  drawAll();
});
if (data.metrics.length > 1) {
  at("up").selectedIndex = 1;
  at("agreement").addEventListener("change", drawMatrix);
  for (const id of ["across", "up"]) at(id).addEventListener("change", () => drawScatter());
  at("in").addEventListener("click", () => zoom(0.7));
  at("out").addEventListener("click", () => zoom(1 / 0.7));
  at("whole").addEventListener("click", () => { state.view = { x: 0, y: 0, span: 1 }; drawScatter(); });
}
drawAll();

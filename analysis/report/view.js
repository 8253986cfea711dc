// The page's own script: choose and hover the chart, sort and filter tables, open a cell's trials.
// Everything it shows is in the page; without it the page still reads as a document.
"use strict";
{
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  async function unpack(name) { // compressed text of the page; nothing is fetched
    const packed = Uint8Array.from(atob(one(name).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }
  const data = JSON.parse(await unpack("#measurements"));
  const trials = new Map(data.ids.map((id, i) => [id, data.trials[i]]));
  const MEAN = -1; // the choice of all data sets together
  const FIXED = 9; // numbers of a row before its trials
  const percent = (share) => (share / 100).toFixed(2);
  const number = (value) => String(Number(Number(value).toPrecision(4)));

  // ---- a cell's trials, and how to have them ----

  const dialog = one("#trials");
  function command(id) {
    const found = trials.get(id);
    const experiment = found ? ` experiment=${data.experiments[found[0]]}` : "";
    return `robust-sweep networks export ${id}${experiment}${data.where}`;
  }
  const homes = new Map(); // trial -> its data set
  for (const [key, rows] of Object.entries(data.rows)) {
    const set = data.sets[Number(key.split(" ")[0])];
    for (const row of rows) row.slice(FIXED).forEach((id) => homes.set(data.ids[id], set));
  }
  function about(id) {
    const found = trials.get(id);
    const settings = found ? data.settings.map((name, i) => `${name} ${data.values[i][found[i + 1]]}`) : [];
    return [homes.get(id), ...settings].filter(Boolean).join(", ");
  }
  function openTrials(title, ids, more) {
    one("h2", dialog).textContent = title;
    one("ul", dialog).replaceChildren(
      ...ids.map((id) => {
        const copy = make("button", { type: "button", textContent: "Copy" });
        copy.addEventListener("click", () => navigator.clipboard?.writeText(command(id)));
        copy.setAttribute("aria-label", `Copy the command for trial ${id}`);
        return make("li", {}, make("code", { textContent: id }), make("div", { textContent: about(id) }),
          make("div", { className: "command" }, make("code", { textContent: command(id) }), copy));
      }),
    );
    one(".more", dialog).textContent = more;
    dialog.showModal();
  }
  all("#close-trials, a", dialog).forEach((leave) => leave.addEventListener("click", () => dialog.close()));

  // ---- what is chosen ----

  const choice = { set: one("#choose-set"), norm: one("#choose-norm"), measure: one("#choose-measure") };
  const boxes = all("#choose-defenses input");
  const checked = () => new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value)));

  function rowsOf(set, measure) {
    return (data.rows[`${set} ${measure}`] ?? []).map(
      ([defense, radius, ball, accuracy, low, high, n, times, tied, ...ids]) => (
        { set: data.sets[set], defense, radius: data.radii[radius], ball, accuracy, low, high, n, times, tied,
          ids: ids.map((i) => data.ids[i]) }),
    );
  }
  function meanRows(measure, wanted) {
    const places = new Map(); // radius -> data set -> defense -> accuracy
    data.sets.forEach((_, set) => {
      for (const row of rowsOf(set, measure)) {
        if (!wanted.has(row.defense)) continue;
        const sets = places.get(row.radius) ?? new Map();
        places.set(row.radius, sets.set(set, (sets.get(set) ?? new Map()).set(row.defense, row)));
      }
    });
    const made = [];
    for (const [radius, sets] of places) {
      const present = new Set([...sets.values()].flatMap((found) => [...found.keys()]));
      const whole = [...sets.values()].filter((found) => found.size === present.size);
      for (const defense of whole.length ? present : []) {
        const rows = whole.map((found) => found.get(defense));
        const accuracy = rows.reduce((sum, row) => sum + row.accuracy, 0) / whole.length;
        made.push({ set: `mean of ${whole.length} data sets`, defense, radius, ball: "", accuracy, low: null,
          high: null, n: `${whole.length} sets`, times: 1, tied: 0, ids: rows.map((row) => row.ids[0]) });
      }
    }
    return made;
  }
  function chosenRows() {
    const [set, measure, wanted] = [Number(choice.set.value), Number(choice.measure.value), checked()];
    const rows = set === MEAN ? meanRows(measure, wanted) : rowsOf(set, measure);
    return rows.filter((row) => wanted.has(row.defense))
      .sort((a, b) => a.radius - b.radius || a.defense - b.defense);
  }

  // ---- the chart ----

  let drawn = null;
  let library = null; // the promise of it
  async function run() {
    document.head.append(make("script", { textContent: await unpack("#library") }));
  }
  async function draw(rows) {
    await (library ??= run());
    const positive = rows.map((row) => row.radius).filter((radius) => radius > 0);
    const zero = Math.log10(Math.min(...positive, 1)) - 1; // where radius 0 stands, left of the others
    const at = (radius) => (radius > 0 ? Math.log10(radius) : zero);
    const values = rows.map((row) => ({
      ...row, x: at(row.radius), y: row.accuracy / 100, defense: data.defenses[row.defense],
      lower: row.low === null ? row.accuracy / 100 : row.low / 100,
      upper: row.high === null ? row.accuracy / 100 : row.high / 100,
      said: percent(row.accuracy), span: row.low === null ? "" : `${percent(row.low)} to ${percent(row.high)}`,
      trials: row.tied === 0 ? "one of each data set: click"
        : row.ids.join(", ") + (row.tied > row.ids.length ? ` and ${row.tied - row.ids.length} more` : ""),
    }));
    const ticks = [zero, ...[...Array(12).keys()].map((i) => i - 7).filter((p) => p > zero + 0.4 && p <= 2)];
    const spec = structuredClone(data.spec);
    spec.data = { values };
    spec.params = [{ name: "zero", value: zero }];
    spec.encoding.x.axis.values = ticks;
    spec.config.legend.columns = Math.max(1, Math.floor(one("#chart").clientWidth / 150));
    drawn?.finalize();
    drawn = await vegaEmbed("#chart", spec, { ast: true, actions: false, renderer: "svg" });
    drawn.view.addEventListener("click", (_, item) => item?.datum?.ids?.length && openRow(item.datum));
  }
  function openRow(row) {
    const name = typeof row.defense === "number" ? data.defenses[row.defense] : row.defense;
    const more = row.tied === 0 ? "The first trial chosen on each data set; choose one above for its ties and interval."
      : `${row.n} test samples; ${row.tied} trials chosen of ${row.times > 1 ? `${row.times} repetitions` : "one seed and split"}.`;
    openTrials(`${row.set}, ${name}, ρ = ${number(row.radius)}: ${percent(row.accuracy)}%`, row.ids, more);
  }

  // ---- the same numbers as a table ----

  function list(rows) {
    one("#numbers tbody").replaceChildren(
      ...rows.map((row) => {
        const open = make("button", { type: "button", textContent: row.tied ? row.ids[0] : `${row.ids.length} trials` });
        open.addEventListener("click", () => openRow(row));
        const span = row.low === null ? "" : `${percent(row.low)} to ${percent(row.high)}`;
        const cells = [number(row.radius), row.ball === "" ? "" : number(row.ball), percent(row.accuracy), span, row.n];
        return make("tr", {}, make("th", { scope: "row", textContent: data.defenses[row.defense] }),
          ...cells.map((text) => make("td", { textContent: text })), make("td", {}, open));
      }),
    );
    one("#count").textContent = `${rows.length} rows`;
  }

  // ---- sorting: a click or Enter on the head of any table's column ----

  function value(row, column) {
    const text = row.cells[column]?.textContent.trim() ?? "";
    const found = Number.parseFloat(text.replace(/^(ρ = |<|\+)/, ""));
    return Number.isNaN(found) ? text : found;
  }
  function compare(a, b) {
    if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
    return typeof a === "number" ? -1 : 1; // texts, such as a dash, last
  }
  function sort(head) {
    const [table, column] = [head.closest("table"), head.cellIndex];
    const down = head.getAttribute("aria-sort") === "descending";
    all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "ascending" : "descending");
    const rows = all("tbody tr", table).map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => (down ? 1 : -1) * compare(a, b));
    one("tbody", table).append(...rows.map(([, row]) => row));
  }

  // ---- tables by keyboard: one stop per table, arrows inside, Enter opens or sorts ----

  function act(cell) {
    if (cell.matches("thead th")) sort(cell);
    else if (cell.dataset.t) {
      const table = cell.closest("table");
      const heads = all("thead th", table).map((head) => head.textContent);
      const title = [cell.closest("[data-title]")?.dataset.title, cell.parentElement.cells[0].textContent,
        `${heads[0]} ${heads[cell.cellIndex]}: ${cell.textContent}`];
      const [n, low, high, tied] = (cell.dataset.n ?? "").split(" ");
      const more = n ? `${n} test samples, 95% interval ${low} to ${high}; ${tied} trials chosen.` : "";
      openTrials(title.filter(Boolean).join(", "), cell.dataset.t.split(" "), more);
    }
  }
  function step(cell, key) {
    const row = cell.parentElement;
    const rows = all("tr", cell.closest("table")).filter((other) => !other.hidden);
    const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    return rows[rows.indexOf(row) + down]?.cells[cell.cellIndex + across];
  }
  const main = one("main");
  main.addEventListener("click", (event) => {
    const cell = event.target.closest("th, td");
    if (cell && !event.target.closest("button, #numbers tbody")) act(cell);
  });
  main.addEventListener("keydown", (event) => {
    const cell = event.target;
    if (!cell.matches("th, td")) return;
    if (event.key === "Enter" || event.key === " ") act(cell);
    else if (event.key.startsWith("Arrow")) {
      const next = step(cell, event.key);
      if (!next) return;
      cell.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    } else return;
    event.preventDefault();
  });
  all("main thead tr").forEach((row) => {
    row.cells[0].tabIndex = 0;
    all("th", row).forEach((head) => { head.title = "Click or Enter: sort by this column"; });
  });
  all("main .wide").forEach((box) => { // shown on narrow screens, where a table is cut off
    const hint = make("div", { className: "hint", textContent: "swipe sideways for more \u2192" });
    box.before(hint);
    hint.hidden = box.closest("details:not([open])") === null && box.scrollWidth <= box.clientWidth;
  });
  all(".wide, pre").forEach((box) => { // what scrolls must be reached by keyboard
    if (!one("[tabindex], a, button", box)) box.tabIndex = 0;
  });
  addEventListener("hashchange", reveal);
  reveal();
  all("td[data-t]").forEach((cell) => { cell.title = `Trials ${cell.dataset.t}`; });

  function reveal() {
    const folded = location.hash && one(`${location.hash} > details`);
    if (folded) folded.open = true;
  }

  // ---- what is chosen also filters the tables of the page ----

  const titles = [...data.sets].sort((a, b) => b.length - a.length);
  const named = (title) => titles.find((name) => title === name || title.startsWith(`${name},`) || title.startsWith(`${name} (`));
  function filter() {
    const [set, norm, wanted] = [data.sets[choice.set.value], choice.norm.value, checked()];
    const off = new Set(data.defenses.filter((_, i) => !wanted.has(i)));
    all("main [data-title]").forEach((block) => {
      const name = named(block.dataset.title);
      block.hidden = Boolean(set && name && name !== set);
    });
    all("main section table").forEach((table) => {
      const corner = one("th", table).textContent;
      table.parentElement.hidden = Boolean(norm && /^L[12∞]/.test(corner) && !corner.startsWith(norm));
      all("tbody tr", table).forEach((row) => { row.hidden = off.has(row.cells[0].textContent); });
    });
  }
  function search() {
    const words = one("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    all("#numbers tbody tr").forEach((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    });
    one("#count").textContent = `${shown} rows`;
  }

  // ---- all together ----

  function measures() {
    const before = choice.measure.value;
    const options = data.measures.map(({ title, norm }, i) => [title, norm, i])
      .filter(([, norm]) => !choice.norm.value || norm === choice.norm.value);
    choice.measure.replaceChildren(...options.map(([title, , i]) => make("option", { value: i, textContent: title })));
    if (options.some(([, , i]) => String(i) === before)) choice.measure.value = before;
  }
  function update() {
    const rows = chosenRows();
    list(rows);
    search();
    filter();
    one("#chart-empty").hidden = rows.length > 0;
    return draw(rows);
  }
  choice.norm.addEventListener("change", () => { measures(); update(); });
  [choice.set, choice.measure, ...boxes].forEach((input) => input.addEventListener("change", update));
  one("#search").addEventListener("input", search);
  all("[data-unless-script]").forEach((element) => element.remove());
  one("#explore").hidden = false;
  measures();
  update();
}

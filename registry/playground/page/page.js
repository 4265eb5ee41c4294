"use strict";
// Everything that comes from a file or an answer is set as text, never as markup.

const $ = (id) => document.getElementById(id);
const state = { models: [], image: null, turn: 0 };

async function call(path, options) {
  const answer = await fetch(path, options);
  if (answer.status === 204) return null;
  const body = await answer.json().catch(() => ({ detail: `the server answered with ${answer.status}` }));
  if (!answer.ok) {
    const detail = typeof body.detail === "string" ? body.detail : JSON.stringify(body.detail);
    throw new Error(detail);
  }
  return body;
}

const post = (path, content) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });

function tell(error) {
  $("message").hidden = !error;
  $("message").textContent = error ? error.message : "";
}

function option(value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

function row(cells, kind = "td") {
  const made = document.createElement("tr");
  for (const cell of cells) {
    const place = document.createElement(kind);
    if (cell instanceof Node) place.append(cell);
    else place.textContent = cell;
    if (typeof cell === "string" && /^[\d.,]+( ?[%A-Za-z]{1,2})?$/.test(cell)) place.className = "number";
    made.append(place);
  }
  return made;
}

async function refresh(selected) {
  state.models = await call("api/models");
  const before = selected || $("model").value;
  const other = $("other").value;
  $("model").replaceChildren(...state.models.map((one) => option(one.id, `${one.name} (${one.quantization})`)));
  $("other").replaceChildren(option("", "nothing"), ...state.models.map((one) => option(one.id, one.name)));
  if (state.models.some((one) => one.id === before)) $("model").value = before;
  if (state.models.some((one) => one.id === other)) $("other").value = other;
  precisions();
}

function current() {
  return state.models.find((one) => one.id === $("model").value);
}

// Files of one family differ in precision only: a row of buttons toggles between them.
function precisions() {
  const model = current();
  const family = model ? state.models.filter((one) => one.family === model.family) : [];
  const ambiguous = new Set(family.map((one) => one.quantization)).size < family.length;
  $("precisions").replaceChildren(
    ...(family.length > 1 ? family : []).map((one) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = ambiguous ? one.name : one.quantization;
      button.setAttribute("role", "radio");
      button.setAttribute("aria-checked", String(one === model));
      button.onclick = () => { $("model").value = one.id; precisions(); run(); };
      return button;
    }),
  );
}

async function run() {
  precisions();
  const model = current();
  if (!state.image || !model) return;
  const turn = ++state.turn;
  const form = new FormData();
  form.append("image", state.image, state.image.name || "image");
  const other = $("other").value;
  const compares = other && other !== model.id;
  if (compares) { form.append("a", model.id); form.append("b", other); }
  else form.append("model", model.id);
  document.body.classList.add("busy");
  try {
    const answer = await call(compares ? "api/compare" : "api/segment", { method: "POST", body: form });
    if (turn !== state.turn) return; // a later one is on its way
    tell(null);
    show(answer, compares);
    const inspected = await call(`api/models/${encodeURIComponent(model.id)}/operations`);
    if (turn === state.turn) operations(inspected);
  } catch (error) {
    if (turn === state.turn) tell(error);
  } finally {
    if (turn === state.turn) document.body.classList.remove("busy");
  }
}

function show(answer, compares) {
  const first = compares ? answer.a : answer;
  const name = (id) => state.models.find((one) => one.id === id)?.name ?? id;
  $("view").hidden = false;
  $("view").style.setProperty("--ratio", first.width / first.height); // all views of an image have one size
  $("picture").src = first.overlay;
  const facts = [`${first.width} × ${first.height} pixels`, `${name(first.model)}: ${first.ms.toFixed(1)} ms`];
  for (const tab of document.querySelectorAll('[data-view="slider"], [data-view="heat"]')) tab.hidden = !compares;
  $("changes").hidden = !compares;
  if (compares) {
    $("over").src = answer.a.overlay;
    $("under").src = answer.b.overlay;
    $("heatmap").src = answer.difference.heat_map;
    facts.push(`${name(answer.b.model)}: ${answer.b.ms.toFixed(1)} ms`);
    facts.push(`equal in ${(100 * answer.difference.agreement).toFixed(2)} % of the pixels`);
    facts.push(`mean IoU of both ${answer.difference.mean_iou.toFixed(4)}`);
    $("changes").replaceChildren(
      row(["was", "became", "pixels"], "th"),
      ...answer.difference.changes.map((one) => row([one.from, one.to, `${(100 * one.fraction).toFixed(2)} %`])),
    );
  } else if (document.querySelector('[aria-selected="true"]').hidden) view("overlay");
  $("facts").textContent = facts.join(" · ");
  $("legend").replaceChildren(
    ...first.classes.map((one) => {
      const cell = document.createElement("span");
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = one.color;
      cell.append(swatch, one.name ?? `class ${one.index}`);
      return row([cell, `${(100 * one.fraction).toFixed(2)} %`]);
    }),
  );
}

// The converter joins the names of what it fused; the first says enough, and all of them are a hover away.
function layer(names) {
  const made = document.createElement("span");
  made.textContent = names.split(";")[0];
  made.title = names;
  return made;
}

function operations(inspected) {
  const table = document.createElement("table");
  table.append(
    row(["#", "operation", "output", "precision", "MACs", "layer"], "th"),
    ...inspected.operations.map((one) =>
      row([String(one.index), one.name, one.output_shape.join(" × "), one.precision,
        (one.macs ?? 0).toLocaleString("en"), layer(one.layer)])),
  );
  const sum = document.createElement("p");
  const millions = inspected.macs === null ? "unknown" : (inspected.macs / 1e6).toFixed(1);
  const count = inspected.operations.length;
  sum.textContent = `${count} operation${count === 1 ? "" : "s"}, ${millions} million multiplications, ` +
    `${inspected.quantization}, ${(inspected.size_bytes / 1e6).toFixed(2)} MB`;
  $("operations").replaceChildren(sum, table);
}

function view(name) {
  for (const tab of document.querySelectorAll("#tabs button"))
    tab.setAttribute("aria-selected", String(tab.dataset.view === name));
  for (const part of ["overlay", "slider", "heat", "operations"]) $(part).hidden = part !== name;
}

function take(file) {
  if (!file) return;
  if (file.name?.toLowerCase().endsWith(".tflite")) { upload(file); return; }
  state.image = file;
  if (current()) run();
  else tell(new Error("choose a model first: add a .tflite file, or export a preset"));
}

async function upload(file) {
  const form = new FormData();
  form.append("file", file, file.name);
  try {
    const model = await call("api/models", { method: "POST", body: form });
    tell(null);
    await refresh(model.id);
    run();
  } catch (error) { tell(error); }
}

async function start(path, content) {
  try {
    follow(await post(path, content));
    tell(null);
  } catch (error) { tell(error); }
}

async function follow(job) {
  const line = document.createElement("li");
  $("jobs").prepend(line);
  while (job) {
    const share = job.total ? ` ${job.done} of ${job.total}` : "";
    const failed = job.result?.failed?.length ? `, ${job.result.failed.length} images failed` : "";
    line.textContent = `${job.what}: ${job.status}${share}${failed}${job.error ? `\n${job.error}` : ""}`;
    if (job.status === "done" && job.result.model) { await refresh(job.result.model.id); run(); }
    if (job.status === "done" || job.status === "failed") return;
    await new Promise((resume) => setTimeout(resume, 700));
    job = await call(`api/jobs/${encodeURIComponent(job.id)}`).catch((error) => { tell(error); return null; });
  }
}

$("model").onchange = run;
$("other").onchange = run;
$("image").onchange = (event) => take(event.target.files[0]);
$("upload").onchange = (event) => { if (event.target.files[0]) upload(event.target.files[0]); };
$("export").onclick = () => start(`api/presets/${encodeURIComponent($("preset").value)}/exports`,
  { precision: $("precision").value, weights: $("weights").value });
$("batch").onclick = () => start("api/batches", { model: $("model").value, folder: $("folder").value });
$("split").oninput = (event) => {
  $("over").style.clipPath = `inset(0 ${100 - event.target.value}% 0 0)`;
  $("slider").style.setProperty("--split", `${event.target.value}%`);
};
for (const tab of document.querySelectorAll("#tabs button")) tab.onclick = () => view(tab.dataset.view);
$("drop").onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") $("image").click(); };
document.ondragover = (event) => { event.preventDefault(); $("drop").classList.add("over"); };
document.ondragleave = () => $("drop").classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  take(event.dataTransfer.files[0]);
};
document.onpaste = (event) => take(event.clipboardData.files[0]);

Promise.all([refresh(), call("api/presets"), call("api/settings")])
  .then(([, presets, settings]) => {
    $("preset").replaceChildren(...presets.map((name) => option(name, name)));
    $("batches").hidden = !settings.batches;
  })
  .catch(tell);

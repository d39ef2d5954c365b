// Model with its card, detector, threshold and the language of the classes' names.

import * as api from "./api.js";
import { useClasses } from "./colours.js";
import { $, make } from "./dom.js";
import { languageNow, languages, percent, useLanguage, word } from "./words.js";

const DETECTORS = { yunet: "YuNet, a network", haar: "Haar cascade, older", mtcnn: "MTCNN, three networks", whole: "none: the photo is one face" };

let server = null, threshold = null;

export const limits = () => server?.limits ?? null;
// Frames of a video to read per second; none for all of them.
export const fps = () => $("fps").value;

export const labels = () => modelNow()?.labels ?? [];

export const isKnown = () => server !== null;

// The confidence below which a face of this model counts as uncertain.
export const uncertainBelow = (model) => threshold ?? (modelNamed(model) ?? modelNow())?.uncertain_below ?? 0;

export const modelNow = () => modelNamed($("model").value) ?? server?.models[0];
const modelNamed = (name) => server?.models.find((model) => model.name === name);

// Ask the server what it has. changed: called after the user changed something that shows in results; reread: what the
// results depend on changed.
export async function load() {
  server = await api.offer();
  fill($("model"), server.models.map((model) => [model.name, model.default ? `${model.name} (default)` : model.name]));
  fill($("detector"), server.detectors.map((name) => [name, `${name}${DETECTORS[name] ? `: ${DETECTORS[name]}` : ""}`]), server.detector);
  showModel();
}

export function listen({ changed, reread }) {
  $("model").addEventListener("change", () => { api.setOption("model", $("model").value); threshold = null; showModel(); reread(); });
  $("detector").addEventListener("change", () => { api.setOption("detector", $("detector").value); reread(); });
  $("threshold").addEventListener("change", () => { readThreshold(); changed(); });
  $("threshold-reset").addEventListener("click", () => { threshold = null; showModel(); changed(); });
}

// Languages from the same table as the library's. The choice stands in the page's address, so that it can be kept there.
export function listLanguages(changed) {
  const names = new Intl.DisplayNames(["en"], { type: "language" });
  useLanguage(new URLSearchParams(location.search).get("labels") ?? "en");
  fill($("language"), languages().map((code) => [code, names.of(code)]), languageNow());
  $("language").addEventListener("change", () => {
    useLanguage($("language").value);
    const address = new URL(location.href);
    address.searchParams.set("labels", languageNow());
    history.replaceState(null, "", address);
    if (server) showModel();
    changed();
  });
}

function fill(select, pairs, value = pairs[0]?.[0]) {
  const before = select.value;
  select.replaceChildren(...pairs.map(([code, text]) => new Option(text, code)));
  select.value = pairs.some(([code]) => code === before) ? before : value;
}

function readThreshold() {
  const value = $("threshold").valueAsNumber;
  $("threshold-problem").hidden = value >= 0 && value <= 100;
  if ($("threshold-problem").hidden) threshold = value / 100;
}

function showModel() {
  const model = modelNow();
  useClasses(model.labels);
  $("threshold").value = Math.round((threshold ?? model.uncertain_below) * 100);
  $("threshold-problem").hidden = true;
  $("about").textContent = `Model ${model.name}, detector ${$("detector").value}.`;
  $("wrong").textContent = wrong(model);
  $("card").replaceChildren(...card(model));
}

// How often the model was wrong where it was measured, in words.
function wrong(model) {
  const [name, { accuracy, faces }] = measured(model)[0] ?? ["", {}];
  if (accuracy === undefined) return "The model file does not say how often the model is wrong.";
  return `Of ${faces.toLocaleString("en")} faces that were held back to measure the model (${plain(name)}), it got ${percent(1 - accuracy)} wrong; it may do so more often for some people than for others.`;
}

const plain = (name) => name.replaceAll("_", " ");

// The model's results on named sets of faces, the test set first.
function measured({ metrics }) {
  const order = (name) => ["private_test", "test", "public_test"].indexOf(name) >>> 0;
  return Object.entries(metrics).filter(([, values]) => values?.accuracy !== undefined && values.faces !== undefined)
    .sort((a, b) => order(a[0]) - order(b[0]));
}

function card(model) {
  const { metrics: { uncertain } } = model;
  const rows = measured(model).map(([name, values]) => make("tr", [
    heading(plain(name), "row"), ...[values.faces.toLocaleString("en"), share(values.accuracy, values.interval), number(values.macro_f1), number(values.ece)].map((text) => make("td", text)),
  ]));
  const head = make("thead", make("tr", ["Faces of", "Number", "Accuracy (95% interval)", "Macro F1", "Calibration error"].map((text) => heading(text, "col"))));
  const scroller = make("div", make("table", [head, make("tbody", rows)]), "scroller");
  Object.assign(scroller, { tabIndex: 0, role: "region", ariaLabel: "Results of the model" });
  const corpora = model.trained_on.map(({ name, terms, use }) => make("li", [make("strong", name), ` (${use}): ${terms}`]));
  return [
    make("p", [make("strong", model.name), `: ${model.labels.map(word).join(", ")}.`]),
    ...(uncertain?.accuracy ? [make("p", `At the model's own threshold of ${percent(uncertain.confidence)}, ${percent(uncertain.coverage)} of faces were certain, and ${percent(uncertain.accuracy)} of those right.`)] : []),
    ...(rows.length ? [scroller] : []),
    ...(corpora.length ? [make("h4", "Trained on"), make("ul", corpora, "corpora")] : []),
    make("h4", "Terms of use"), make("p", model.licence || "The model file states none."),
  ];
}

function heading(text, scope) {
  const cell = make("th", text);
  cell.scope = scope;
  return cell;
}

const number = (value) => (value === undefined ? "" : value.toFixed(3));
const share = (value, [low, high] = []) => `${(value * 100).toFixed(1)}%${low === undefined ? "" : ` (${(low * 100).toFixed(1)} to ${(high * 100).toFixed(1)})`}`;

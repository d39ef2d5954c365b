// The page: photos in by dropping, choosing, pasting or a sample; results, webcam and options on one page.

import * as api from "./api.js";
import { $, button, make } from "./dom.js";
import { open } from "./files.js";
import { Gallery } from "./gallery.js";
import * as live from "./live.js";
import * as options from "./options.js";
import { Photo } from "./photo.js";
import { Queue } from "./queue.js";
import { csv, json, save } from "./save.js";
import { Viewer } from "./viewer.js";
import { explain, plural, summary, useNames } from "./words.js";

const queue = new Queue(options.limits);
const gallery = new Gallery($("gallery"), { choose, retry: (photo) => queue.retry(photo) });
let shown = null, viewer = null, example = null, busy = false;

function take(files) {
  const photos = [...files].map((file) => new Photo(file));
  if (!photos.length) return;
  $("example").hidden = true;
  $("results").hidden = false;
  $("drop").classList.add("small");
  for (const photo of photos) photo.addEventListener("change", () => photo === shown && render());
  gallery.add(photos);
  queue.add(photos);
  if (!shown) choose(photos[0]);
  showGallery();
}

function showGallery() {
  $("gallery-part").hidden = queue.photos.length < 2;
}

function choose(photo) {
  if (shown !== photo) viewer = null;
  shown = photo;
  gallery.select(photo);
  render();
}

// The photo that is shown; a redrawn one keeps its chosen face.
function render() {
  if (!shown) return $("photos").replaceChildren();
  const { state } = shown;
  if (state === "done") {
    viewer = new Viewer(shown, { limit: options.limits()?.explain_faces ?? 0, chosen: viewer?.chosen });
    return $("photos").replaceChildren(viewer.element);
  }
  const words = { waiting: "Waiting …", sending: "Sending the photo …", reading: "Reading the photo …", cancelled: "Cancelled.", failed: shown.reason }[state];
  const line = make("p", words, state === "failed" ? "bad" : "");
  if (state === "failed") line.setAttribute("role", "alert");
  const article = make("article", [make("h3", shown.name), line], "photo");
  article.setAttribute("aria-label", shown.name);
  if (queue.photos.length < 2) article.append(...actions(shown)); // else the gallery has them
  $("photos").replaceChildren(article);
}

function actions(photo) {
  if (photo.state === "cancelled" || (photo.state === "failed" && photo.again)) return [make("p", button("Try again", () => queue.retry(photo)), "actions")];
  return photo.state === "failed" ? [] : [make("p", button("Cancel", () => photo.cancel()), "actions")];
}

// Words for the queue as a whole: start, halt and end are spoken, progress is only shown.
function report() {
  const { counts, photos, halt } = queue, total = photos.length, done = total - queue.busy;
  $("progress-part").hidden = !queue.busy || total < 2;
  Object.assign($("progress"), { max: Math.max(1, total), value: done });
  $("progress-words").textContent = `${done} of ${total} photos`;
  const failed = photos.filter((photo) => photo.state === "failed" && photo.again);
  $("retry-all").hidden = queue.busy || failed.length < 2;
  $("json").disabled = $("csv").disabled = !counts.done && !counts.failed;
  reportHalt(halt);
  if (halt) return say("");
  if (queue.busy) {
    if (!busy) say(total > 1 ? `Reading ${total} photos …` : "Reading the photo …");
  } else if (busy || total) say(total ? ending(counts, photos) : "", counts.failed > 0 && !counts.done);
  busy = queue.busy > 0;
}

function ending({ done, failed, cancelled }, photos) {
  if (photos.length === 1) return done ? `${plural(photos[0].faces.length, "face")} in the photo.` : "";
  const faces = photos.flatMap((photo) => photo.faces);
  const rest = [failed && `${failed} could not be read; the reason stands with each.`, cancelled && `${plural(cancelled, "photo was", "photos were")} cancelled.`].filter(Boolean);
  return [summary(faces, `${plural(done, "photo")} read. `), ...rest].join(" ");
}

function reportHalt(halt) {
  $("halt").hidden = !halt || halt.problem.kind === "no-token";
  $("token").hidden = halt?.problem.kind !== "no-token" && !locked;
  if (!halt) return;
  $("start-problem").hidden = true;
  if (halt.problem.kind === "no-token") return askToken();
  const text = `${explain(halt.problem)} ${halt.again ? `Trying again in ${halt.wait} s …` : `${plural(queue.busy, "photo waits", "photos wait")}.`}`;
  if ($("halt-words").textContent !== text) $("halt-words").textContent = text;
  $("resume").hidden = halt.again;
}

let locked = false;

function askToken(text = "This server asks for a token.") {
  if (!$("token").hidden && locked) return;
  locked = true;
  $("token").hidden = false;
  $("token-words").textContent = text;
  $("word").focus();
}

function say(text, bad = false) {
  if ($("status").textContent !== text) $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

// The server's models and limits. What the page cannot do without it is said once, above.
async function begin() {
  try {
    await options.load();
    if (locked) $("files").focus();
    locked = false;
    $("token").hidden = true;
    $("start-problem").hidden = true;
    $("options").hidden = false;
    showLimits();
    if (queue.photos.length && queue.halt) queue.resume();
    else if (!queue.photos.length) await showExample();
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    if (error.kind === "no-token") return refuseToken();
    $("start-words").textContent = explain(error);
    $("start-problem").hidden = Boolean(queue.halt); // which says the same
  }
}

function refuseToken() {
  const given = $("word").value.trim();
  if (given) locked = false;
  askToken(given ? "The server does not accept this token. Check it, then enter it again." : undefined);
}

function showLimits() {
  const { max_body: bytes, max_pixels: pixels, max_faces: faces } = options.limits();
  $("limits").textContent = `Up to ${Math.round(bytes / 1e6)} MB and ${Math.round(pixels / 1e6)} megapixels; larger photos are made smaller in this browser. Up to ${faces} faces a photo.`;
}

// A result made beforehand and shown like any other, so that an empty page says what there is to see.
async function showExample() {
  const [response, picture] = await Promise.all([fetch("static/example.json"), open("static/six.jpg")]);
  if (!response.ok || queue.photos.length) return;
  example = { id: "example", name: "Worked example: one face in six conditions", url: "static/six.jpg", picture, notes: [], result: (await response.json()).results[0] };
  $("example-model").textContent = `The model was ${example.result.model}.`;
  renderExample();
  $("example").hidden = false;
}

function renderExample() {
  const uncertain = example.result.faces.findIndex((face) => face.uncertain);
  $("example-photo").replaceChildren(new Viewer(example, { example: true, chosen: Math.max(0, uncertain), heading: "h3" }).element);
}

async function sample(name) {
  try {
    const response = await fetch(`static/${name}`);
    take([new File([await response.blob()], name, { type: "image/jpeg" })]);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // what fetch throws without a server
    say("The server cannot be reached.", true);
  }
}

// The same results in another language or with another threshold.
function redraw() {
  for (const { result } of queue.photos) {
    for (const face of result?.faces ?? []) face.uncertain = face.confidence < options.uncertainBelow(result.model);
  }
  for (const photo of queue.photos) gallery.update(photo);
  $("legend").replaceChildren();
  render();
  if (example && !$("example").hidden) renderExample();
  report();
}

// With another model or detector the photos are read anew, since two models' results side by side would mislead.
function reread() {
  const read = queue.photos.filter((photo) => photo.state === "done" || photo.state === "failed");
  queue.retry(...read);
  live.reconnect();
}

function clear() {
  queue.clear();
  gallery.clear();
  shown = viewer = null;
  render();
  $("results").hidden = true;
  $("drop").classList.remove("small");
  showGallery();
  say("");
  if (example) $("example").hidden = false;
  $("files").focus();
}

function drop(event) {
  event.preventDefault();
  $("drop").classList.toggle("over", event.type === "dragover");
  if (event.type === "drop") take(event.dataTransfer.files);
}

function listen() {
  $("files").addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = "";
  });
  for (const name of ["dragover", "drop", "dragleave"]) document.addEventListener(name, drop);
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  for (const element of document.querySelectorAll("[data-sample]")) element.addEventListener("click", () => sample(element.dataset.sample));
  $("json").addEventListener("click", () => save("mien.json", json(queue.photos.map((photo) => photo.item))));
  $("csv").addEventListener("click", () => save("mien.csv", csv(queue.photos.map((photo) => photo.item))));
  $("clear").addEventListener("click", clear);
  $("cancel-all").addEventListener("click", () => {
    for (const photo of queue.photos) if (["waiting", "sending", "reading"].includes(photo.state)) photo.cancel();
    queue.resume();
    $("files").focus();
  });
  $("retry-all").addEventListener("click", () => {
    queue.retry(...queue.photos.filter((photo) => photo.state === "failed" && photo.again));
    document.querySelector("#gallery input:checked")?.focus();
  });
  $("resume").addEventListener("click", () => {
    if (options.isKnown()) queue.resume();
    else begin();
    $("files").focus();
  });
  $("restart").addEventListener("click", () => { begin(); $("files").focus(); });
  $("token").addEventListener("submit", (event) => {
    event.preventDefault();
    api.setToken($("word").value.trim());
    begin();
  });
  listenToWebcam();
  queue.addEventListener("change", report);
  options.listen({ changed: redraw, reread });
}

function listenToWebcam() {
  const threshold = () => options.uncertainBelow($("model").value);
  $("camera").addEventListener("click", () => live.start({ threshold, locked: askToken }));
  $("stop").addEventListener("click", live.stop);
  $("cameras").addEventListener("change", () => live.change($("cameras").value));
  $("reconnect").addEventListener("click", live.retry);
  $("save-record").addEventListener("click", live.saveRecord);
}

async function prepareNames() {
  try {
    useNames(await (await fetch("static/languages.json")).json());
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // no server: the names stay English, and begin says so
  }
  options.listLanguages(redraw);
}

listen();
await prepareNames();
await begin();

// The page: photos and videos in by dropping, choosing, pasting or a sample; results, webcam and options on one page.

import * as api from "./api.js";
import { $, button, make } from "./dom.js";
import { isVideo, open } from "./files.js";
import { Gallery } from "./gallery.js";
import * as live from "./live.js";
import * as options from "./options.js";
import { Pending } from "./pending.js";
import { Photo } from "./photo.js";
import { Player } from "./player.js";
import { Queue } from "./queue.js";
import { csv, json, save } from "./save.js";
import { Video } from "./video.js";
import { Viewer } from "./viewer.js";
import { OFF, explain, plural, summary, useNames, videoLimits } from "./words.js";

const queue = new Queue(options.limits);
const gallery = new Gallery($("gallery"), { choose, retry: (photo) => queue.retry(photo) });
let shown = null, viewer = null, pending = null, example = null, busy = false;

function take(files) {
  const photos = [...files].map((file) => (isVideo(file) ? new Video(file, options.fps) : new Photo(file)));
  if (!photos.length) return;
  $("example").hidden = true;
  $("results").hidden = false;
  $("drop").classList.add("small");
  for (const photo of photos) {
    photo.addEventListener("change", () => {
      if (photo.state === "done") judge(photo);
      if (photo === shown) render();
    });
  }
  gallery.add(photos);
  queue.add(photos);
  if (!shown) choose(photos[0]);
  showGallery();
}

function showGallery() {
  $("gallery-part").hidden = queue.photos.length < 2;
}

function choose(photo) {
  if (shown !== photo) viewer = pending = null;
  shown = photo;
  gallery.select(photo);
  render();
}

// The photo or video that is shown; a redrawn one keeps its chosen face or moment.
function render() {
  if (!shown) return put();
  if (shown.state !== "done") {
    if (pending?.photo === shown) return pending.update();
    pending = new Pending(shown, { alone: () => queue.photos.length < 2, retry: (photo) => queue.retry(photo) }); // else the gallery has the buttons
    return put(pending);
  }
  pending = null;
  viewer = shown.isVideo ? new Player(shown, { labels: options.labels(), at: viewer?.time })
    : new Viewer(shown, { chosen: viewer?.chosen });
  put(viewer);
}

// Show it in place of what was there; the focus stays here, and nothing unseen goes on playing.
function put(view) {
  const focused = $("photos").contains(document.activeElement);
  for (const video of $("photos").querySelectorAll("video")) video.pause();
  $("photos").replaceChildren(...(view ? [view.element] : []));
  const head = $("photos").querySelector("h3");
  if (!focused || !head) return;
  head.tabIndex = -1;
  head.focus();
}

// Words for the queue as a whole: start, halt and end are spoken, progress is only shown.
function report() {
  const { counts, photos, halt } = queue, total = photos.length, done = total - queue.busy;
  $("progress-part").hidden = !queue.busy || total < 2;
  Object.assign($("progress"), { max: Math.max(1, total), value: done });
  $("progress-words").textContent = `${done} of ${plural(total, noun(photos))}`;
  const failed = photos.filter((photo) => photo.state === "failed" && photo.again);
  $("retry-all").hidden = queue.busy || failed.length < 2;
  $("json").disabled = $("csv").disabled = !counts.done && !counts.failed;
  $("json").hidden = $("csv").hidden = photos.every((photo) => photo.isVideo && photo.state !== "failed"); // a video has its own
  reportHalt(halt);
  if (halt) return say("");
  if (queue.busy) {
    if (!busy) say(total > 1 ? `Reading ${total} ${noun(photos)}s …` : `Reading the ${noun(photos)} …`);
  } else if (busy || total) say(total ? ending(counts, photos) : "", counts.failed > 0 && !counts.done);
  busy = queue.busy > 0;
}

function ending({ done, failed, cancelled }, photos) {
  if (photos.length === 1) return done ? `${content(photos[0])}.` : "";
  const faces = photos.flatMap((photo) => photo.faces);
  const rest = [failed && `${failed} could not be read; the reason stands with each.`, cancelled && `${plural(cancelled, `${noun(photos)} was`, `${noun(photos)}s were`)} cancelled.`].filter(Boolean);
  const read = `${plural(done, noun(photos))} read.`;
  return [photos.every((photo) => photo.isVideo) ? read : summary(faces, `${read} `), ...rest].join(" ");
}

const content = (photo) => (photo.isVideo ? `${plural(photo.people, "person", "people")} in the video` : `${plural(photo.faces.length, "face")} in the photo`);

// "photo" or "video", or "file" for both together
function noun(photos) {
  const videos = photos.filter((photo) => photo.isVideo).length;
  if (!videos) return "photo";
  return videos === photos.length ? "video" : "file";
}

function reportHalt(halt) {
  $("halt").hidden = !halt || halt.problem.kind === "no-token";
  $("token").hidden = halt?.problem.kind !== "no-token" && !locked;
  if (!halt) return;
  $("start-problem").hidden = true;
  if (halt.problem.kind === "no-token") return askToken();
  const text = `${explain(halt.problem)} ${halt.again ? `Trying again in ${halt.wait} s …` : `${plural(queue.busy, `${noun(queue.photos)} waits`, `${noun(queue.photos)}s wait`)}.`}`;
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

// What the server takes; of videos also that it takes none.
function showLimits() {
  const { max_body: bytes, max_pixels: pixels, max_faces: faces, videos } = options.limits();
  $("limits").textContent = `Up to ${Math.round(bytes / 1e6)} MB and ${Math.round(pixels / 1e6)} megapixels; larger photos are made smaller in this browser. Up to ${faces} faces a photo. ${videos ? `Videos ${videoLimits(options.limits())}.` : `${OFF}.`}`;
  if (!videos) return;
  $("files").accept = "image/*,.heic,.heif,video/*,.mkv,.flv";
  $("give").textContent = "Photos and videos";
  $("drop-words").textContent = "Drop photos or videos anywhere on this page, or paste a photo.";
  $("choose").textContent = "Choose photos or videos";
  for (const name of ["fps-part", "kept-videos"]) $(name).hidden = false;
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

// Which faces are uncertain by the threshold of the page.
function judge({ result }) {
  const faces = result?.frames?.flatMap((frame) => frame.people) ?? result?.faces ?? [], threshold = options.uncertainBelow(result?.model);
  for (const face of faces) face.uncertain = face.confidence < threshold;
}

// The same results in another language or with another threshold.
function redraw() {
  for (const photo of queue.photos) judge(photo);
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
  shown = viewer = pending = null;
  render();
  $("results").hidden = true;
  $("drop").classList.remove("small");
  showGallery();
  say("");
  if (example) $("example").hidden = false;
  $("files").focus();
}

const items = () => queue.photos.map((photo) => photo.item).filter(Boolean);

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
  $("json").addEventListener("click", () => save("mien.json", json(items())));
  $("csv").addEventListener("click", () => save("mien.csv", csv(items())));
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
  window.addEventListener("pagehide", () => { for (const photo of queue.photos) photo.leave?.(); });
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

// The page: photos in by dropping, choosing, pasting or the sample; cards with boxes and bars out.

import * as api from "./api.js";
import { boxes, colour, heat, percent, title } from "./draw.js";
import * as live from "./live.js";
import { csv, json, save } from "./save.js";

const AT_ONCE = 2;
const $ = (id) => document.getElementById(id);
const cards = [];
let limits = null;

function make(tag, content, name) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...[content ?? []].flat());
  return element;
}

function button(text, act) {
  const element = make("button", text);
  element.type = "button";
  element.addEventListener("click", () => act(element));
  return element;
}

function say(text, bad = false) {
  if ($("status").textContent === text) return;
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

function fail(error) {
  if (error.status === 401) {
    $("token").hidden = false;
    $("word").focus();
  }
  say(error.message, true);
}

async function take(files) {
  const photos = [...files];
  if (!photos.length) return;
  $("results").hidden = false;
  const waiting = photos.map((file) => new Card(file));
  let done = 0, failed = 0;
  say(photos.length > 1 ? `Reading ${photos.length} photos …` : "Reading the photo …");
  const worker = async () => {
    for (let card = waiting.shift(); card; card = waiting.shift()) {
      const good = await card.read(); // not within +=, which would read the count before the wait
      failed += !good;
      done += 1;
      if (waiting.length) say(`${done} of ${photos.length} photos read …`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  say(summary(photos.length, failed), failed > 0);
}

function summary(count, failed) {
  const faces = cards.slice(-count).reduce((sum, card) => sum + (card.result.faces?.length ?? 0), 0);
  const found = `${faces || "No"} ${faces === 1 ? "face" : "faces"} in ${count === 1 ? "the photo" : `${count} photos`}.`;
  if (!failed) return found;
  return failed === count && count === 1 ? cards.at(-1).result.error : `${found} ${failed} could not be read; see below.`;
}

class Card {
  constructor(file) {
    this.file = file;
    this.result = { source: file.name, error: "not read yet" };
    this.shown = make("p", "Reading …");
    this.element = make("article", [make("h3", file.name || "photo"), this.shown], "photo");
    this.element.setAttribute("aria-label", file.name || "photo");
    cards.push(this);
    $("photos").append(this.element);
  }

  async read() {
    try {
      if (limits && this.file.size > limits.max_body) {
        throw new Error(`The file has ${(this.file.size / 1e6).toFixed(1)} MB; this server takes ${limits.max_body / 1e6} MB.`);
      }
      this.result = (await api.predict(this.file)).results[0];
      await this.show();
      return true;
    } catch (error) {
      this.result = { source: this.file.name, error: error.message };
      const again = button("Try again", () => this.read().then((good) => good && say("")));
      this.replace(make("div", [make("p", error.message, "bad"), make("p", again, "actions")]));
      if (error.status === 401) fail(error);
      return false;
    }
  }

  replace(element) {
    this.shown.replaceWith(element);
    this.shown = element;
  }

  async show() {
    // The browser turns the picture upright by the same EXIF entry as the server.
    this.picture = await createImageBitmap(this.file).catch(() => null);
    this.faces = make("ul", this.result.faces.map((face, place) => entry(face, place, this.result.faces.length)), "faces");
    const none = "No face was found. Faces should be at least 10 pixels wide and not turned away.";
    const tools = make("p", [
      this.heatButton = button("Heat map", () => this.heat()),
      button("Save picture", () => this.save()),
    ], "actions");
    this.legend = make("div");
    this.heatButton.hidden = !this.result.faces.length || !this.picture;
    this.heatButton.setAttribute("aria-pressed", "false");
    tools.lastChild.hidden = !this.picture;
    const { faces, faces_found: found, truncated } = this.result;
    const left = truncated ? [make("p", `The best ${faces.length} of ${found} faces are shown.`)] : [];
    const side = make("div", [...left, faces.length ? this.faces : make("p", none), this.legend, tools]);
    this.replace(make("div", [this.picture ? this.draw() : make("p", "Your browser cannot show this format."), side], "pair"));
  }

  draw() {
    const { width, height, faces } = this.result;
    this.canvas ??= make("canvas", null, "picture");
    Object.assign(this.canvas, { width, height });
    this.canvas.setAttribute("role", "img");
    const told = faces.map((face, place) => `face ${place + 1}: ${title(face)}`).join(", ") || "no face";
    this.canvas.setAttribute("aria-label", `${this.file.name || "photo"}, ${told}`);
    const context = this.canvas.getContext("2d");
    if (this.hot) heat(context, this.picture, this.hot);
    else context.drawImage(this.picture, 0, 0, width, height);
    if (!this.hot) boxes(context, faces);
    return this.canvas;
  }

  async heat() {
    this.heatButton.disabled = true;
    try {
      if (this.hot) this.hot = null;
      else {
        say("Looking for what the network used …");
        this.maps ??= (await api.explain(this.file)).results[0].faces;
        this.hot = this.maps;
        say("");
      }
      this.heatButton.setAttribute("aria-pressed", String(Boolean(this.hot)));
      this.legend.replaceChildren(...(this.hot ? explained(this.hot) : []));
      this.draw();
    } catch (error) {
      fail(error);
    } finally {
      this.heatButton.disabled = false;
    }
  }

  save() {
    const name = (this.file.name || "photo").replace(/\.[^.]*$/, "");
    this.canvas.toBlob((blob) => save(`${name}-${this.hot ? "heat" : "faces"}.png`, blob), "image/png");
  }
}

function entry(face, place, count) {
  const head = make("h4", `${count > 1 ? `Face ${place + 1}: ` : ""}${face.emotion} ${percent(face.confidence)}`);
  const doubts = [...(face.uncertain ? ["uncertain"] : []), ...(face.quality?.reasons ?? [])];
  if (doubts.length) head.append(make("span", ` (${doubts.join(", ")})`, "quiet"));
  const sorted = Object.entries(face.probabilities).sort((a, b) => b[1] - a[1]);
  return make("li", [head, make("ul", sorted.map(([label, value]) => bar(label, value)), "bars")]);
}

function bar(label, value) {
  const fill = make("span", null, "fill");
  fill.style.width = percent(value);
  fill.style.background = colour(label);
  const track = make("span", fill, "track");
  track.setAttribute("aria-hidden", "true");
  return make("li", [make("span", label), track, make("span", percent(value), "number")]);
}

function explained(faces) {
  const ends = make("p", [make("span", "nothing, or against it"), make("span", "speaks most for it")], "quiet");
  const lines = faces.map((face, place) => {
    const { class: word, faithfulness } = face.maps[0];
    const verdict = faithfulness.explains ? "" : ": it explains nothing";
    const who = faces.length > 1 ? `Face ${place + 1}, ` : "";
    return make("p", `${who}${word}: score ${faithfulness.score.toFixed(2)} against random maps${verdict}`, "score");
  });
  return [make("h4", "Where the emotion was read"), make("div", null, "ramp"), ends, ...lines];
}

async function sample() {
  const answer = await fetch("static/sample.jpg").catch(() => null);
  if (!answer?.ok) return say("The sample photo cannot be reached. Check that the server runs.", true);
  await take([new File([await answer.blob()], "sample.jpg", { type: "image/jpeg" })]);
}

async function begin() {
  try {
    const told = await api.offer();
    limits = told.limits;
    $("about").textContent = `Model ${told.models[0].name}, detector ${told.detector}. More at v1/models.`;
    $("token").hidden = true;
    say("");
  } catch (error) {
    fail(error);
  }
}

function listen() {
  $("files").addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = "";
  });
  for (const name of ["dragover", "drop", "dragleave"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", name === "dragover");
      if (name === "drop") take([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  $("sample").addEventListener("click", sample);
  $("camera").addEventListener("click", () => live.start(say));
  $("stop").addEventListener("click", live.stop);
  $("json").addEventListener("click", () => save("mien.json", json(cards.map((card) => card.result))));
  $("csv").addEventListener("click", () => save("mien.csv", csv(cards.map((card) => card.result))));
  $("clear").addEventListener("click", () => {
    cards.length = 0;
    $("photos").replaceChildren();
    $("results").hidden = true;
    say("");
    $("sample").focus();
  });
  $("token").addEventListener("submit", (event) => {
    event.preventDefault();
    api.setToken($("word").value.trim());
    begin();
  });
}

listen();
begin();

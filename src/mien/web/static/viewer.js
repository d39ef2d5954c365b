// One photo: outlines with numbers, a strip of its faces by emotion, and all about the chosen face.

import { mark, mixture, paint } from "./colours.js";
import { boxes, cut } from "./draw.js";
import { button, make, radio } from "./dom.js";
import { Detail } from "./face.js";
import { save } from "./save.js";
import { REASONS, count, percent, plural, summary, title, word } from "./words.js";

const THUMB = 72, MARGIN = 0.3, READABLE = 24; // pixels of a thumbnail; part of a box around it; pixels of an outline with a number

export class Viewer {
  // photo: name, url, picture, result, notes and, where the server makes maps, explain(index).
  // example: without saving.
  constructor(photo, { example = false, chosen = 0, heading = "h3" } = {}) {
    Object.assign(this, { photo, faces: photo.result.faces, example });
    this.id = photo.id;
    this.element = make("article", [make(heading, photo.name), ...this.summary()], "photo");
    this.element.setAttribute("aria-label", photo.name);
    const faces = this.faces.length > 1 ? [this.strip()] : [];
    this.detail = new Detail(photo, heading === "h3" ? "h4" : "h5");
    const tools = example || !photo.picture ? [] : [make("p", button("Save picture", () => this.save()), "actions")];
    this.element.append(make("div", [
      make("div", this.stage(), "stage-cell"), make("div", faces, "strip-cell"),
      make("div", [...(this.faces.length ? [this.detail.element] : [none()]), ...tools], "detail-cell"),
    ], "viewer"));
    if (this.faces.length) this.choose(Math.min(chosen, this.faces.length - 1));
  }

  summary() {
    const { faces_found: total, truncated } = this.photo.result;
    const lines = this.faces.length > 1 ? [make("p", summary(this.faces), "summary"), mixture(this.faces)] : [];
    if (truncated) lines.push(make("p", `The photo has ${total} faces; the best ${this.faces.length} detections are shown, as many as this server reads.`, "note"));
    const poor = this.faces.filter((face) => face.quality?.reasons.length).length;
    if (poor && this.faces.length > 1) lines.push(make("p", `${plural(poor, "face is", "faces are")} hard to read: ${kinds(this.faces)}.`, "quiet"));
    return [...lines, ...this.photo.notes.map((text) => make("p", text, "quiet"))];
  }

  stage() {
    const { width, height } = this.photo.result;
    const outlines = make("div", this.faces.map((face, index) => this.outline(face, index, width, height)), "outlines");
    outlines.setAttribute("aria-hidden", "true"); // the strip is the same for keyboards and screen readers
    const picture = this.photo.picture ? make("img") : make("p", "This browser does not show the photo's format. The outlines are where its faces are.", "unshown");
    if (this.photo.picture) Object.assign(picture, { src: this.photo.url, alt: `${this.photo.name}: ${summary(this.faces)}` });
    const stage = make("div", [picture, outlines], "stage");
    stage.style.aspectRatio = `${width} / ${height}`;
    stage.style.setProperty("--shape", width / height);
    new ResizeObserver(() => this.hideNumbers(stage.clientWidth / width)).observe(stage);
    return stage;
  }

  // Small faces lie above large ones, so that each can be chosen.
  outline(face, index, width, height) {
    const { left, top, width: wide, height: high } = face.box;
    const element = make("span", make("b", String(index + 1)), face.uncertain ? "outline uncertain" : "outline");
    Object.assign(element.style, {
      left: `${(left / width) * 100}%`, top: `${(top / height) * 100}%`,
      width: `${(wide / width) * 100}%`, height: `${(high / height) * 100}%`,
      zIndex: String(1 + Math.round(1e5 / Math.max(1, Math.sqrt(wide * high)))),
    });
    paint(element, face.emotion);
    element.title = `${index + 1}: ${title(face)}`;
    element.addEventListener("click", () => this.choose(index));
    return element;
  }

  hideNumbers(scale) {
    this.element.querySelectorAll(".outline").forEach((outline, index) => {
      outline.classList.toggle("bare", this.faces[index].box.width * scale < READABLE);
    });
  }

  strip() {
    const groups = count(this.faces).map(([label, number]) => this.group(label, number));
    const strip = make("fieldset", [make("legend", "Faces by emotion"), ...groups], "strip");
    return strip;
  }

  group(label, number) {
    const members = [...this.faces.keys()].filter((index) => this.faces[index].emotion === label)
      .sort((a, b) => this.faces[b].confidence - this.faces[a].confidence);
    const head = make("p", [mark(label), `${word(label)} ${number}`], "group-head");
    const group = make("div", [head, make("div", members.map((index) => this.thumb(index)), "thumbs")], "group");
    paint(group, label);
    return group;
  }

  thumb(index) {
    const face = this.faces[index];
    const poor = face.quality?.reasons.length ? `, ${face.quality.reasons.join(", ")}` : "";
    const spoken = `Face ${index + 1}: ${word(face.emotion)} ${percent(face.confidence)}${face.uncertain ? ", uncertain" : ""}${poor}`;
    const number = make("span", `${index + 1}${face.uncertain ? "?" : ""}`, "thumb-number");
    const content = [...(this.photo.picture ? [cut(this.photo, face, THUMB, MARGIN)] : []), number, make("span", percent(face.confidence), "thumb-percent")];
    const input = radio(`${this.id}-face`, `${this.id}-face-${index}`, () => this.choose(index));
    input.setAttribute("aria-label", spoken);
    return make("div", [...content, input], face.uncertain ? "thumb uncertain" : "thumb");
  }

  choose(index) {
    this.chosen = index;
    const radio = this.element.querySelector(`#${this.id}-face-${index}`);
    if (radio) radio.checked = true;
    this.element.querySelectorAll(".outline").forEach((outline, at) => outline.classList.toggle("chosen", at === index && this.faces.length > 1));
    this.detail.show(index);
  }

  // The photo with boxes and names, at the size at which it was read.
  save() {
    const { width, height } = this.photo.result, canvas = make("canvas");
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.drawImage(this.photo.picture, 0, 0, width, height);
    boxes(context, this.faces);
    canvas.toBlob((blob) => save(`${this.photo.name.replace(/\.[^.]*$/, "")}-faces.png`, blob), "image/png");
  }
}

const none = () => make("p", "No face was detected. Faces should be at least 10 pixels wide and not turned away.");

function kinds(faces) {
  const reasons = faces.flatMap((face) => face.quality?.reasons ?? []);
  return Object.keys(REASONS).filter((reason) => reasons.includes(reason))
    .map((reason) => `${reasons.filter((one) => one === reason).length} ${reason}`).join(", ");
}

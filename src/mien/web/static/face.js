// All about one face: its probabilities, how well the photo shows it, and where the network looked.

import { paint } from "./colours.js";
import { button, make } from "./dom.js";
import { cut, overlay, square } from "./draw.js";
import { REASONS, explain, percent, plural, word } from "./words.js";

const SIZE = 288, MARGIN = 0.4; // pixels of the cut-out; part of the box around it
let made = 0;

export class Detail {
  // photo: with explain(index) where the server makes maps of its faces.
  constructor(photo, heading) {
    Object.assign(this, { photo, heading, hot: false });
    this.element = make("section", null, "detail");
    this.id = `detail-${++made}`;
  }

  show(index) {
    this.index = index;
    this.face = this.photo.result.faces[index];
    const head = make(this.heading, this.title());
    head.id = this.id;
    this.element.setAttribute("aria-labelledby", this.id);
    this.hotButton ??= this.toggle();
    this.legend = make("div", null, "heat-legend");
    this.legend.setAttribute("role", "status");
    this.element.replaceChildren(head, this.figure(), bars(this.face), ...doubt(this.face), ...quality(this.face), ...this.heat());
    if (this.hot) this.draw();
  }

  title() {
    const number = this.photo.result.faces.length > 1 ? `Face ${this.index + 1}: ` : "";
    return `${number}${word(this.face.emotion)} ${percent(this.face.confidence)}${this.face.uncertain ? ", uncertain" : ""}`;
  }

  figure() {
    this.canvas = this.photo.picture ? cut(this.photo, this.face, SIZE, MARGIN) : null;
    if (!this.canvas) return "";
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `Face ${this.index + 1}, cut from the photo`);
    return make("div", this.canvas, "figure");
  }

  toggle() {
    const element = button("Heat map", () => this.switch());
    element.setAttribute("aria-pressed", "false");
    return element;
  }

  heat() {
    return this.photo.explain && this.canvas ? [make("p", this.hotButton, "actions"), this.legend] : [];
  }

  async switch() {
    this.hot = !this.hot;
    this.hotButton.setAttribute("aria-pressed", String(this.hot));
    await this.draw();
  }

  // Beside the button only: the face may be another one when the map arrives.
  async draw() {
    const { index, legend } = this;
    this.canvas.replaceWith((this.canvas = this.figure().firstChild));
    if (!this.hot) return legend.replaceChildren();
    legend.replaceChildren(make("p", "Making the heat map …", "quiet"));
    try {
      const face = await this.photo.explain(index);
      if (index !== this.index || !this.hot) return;
      if (!face) return legend.replaceChildren(make("p", "No heat map: the server did not detect this face again.", "bad"));
      const [side, left, top] = square(this.face.box, MARGIN, this.photo.result);
      overlay(this.canvas, face, SIZE / side, left, top);
      legend.replaceChildren(...explained(face));
    } catch (error) {
      if (error.kind === undefined) throw error;
      if (error.kind !== "cancelled" && index === this.index) legend.replaceChildren(make("p", `No heat map: ${explain(error)} Press the button twice to try again.`, "bad"));
    }
  }
}

// The classes that show as 1% or more; the rest are folded, as they differ from 0 by nothing that can be read.
function bars(face) {
  const sorted = Object.entries(face.probabilities).sort((a, b) => b[1] - a[1]);
  const visible = sorted.filter(([, value], rank) => rank === 0 || Math.round(value * 100) >= 1);
  const rest = sorted.slice(visible.length);
  const list = make("ul", visible.map(([label, value]) => bar(label, value)), "bars");
  if (!rest.length) return list;
  const folded = make("details", [
    make("summary", `${plural(rest.length, "other class", "other classes")}, each < 1%`),
    make("p", rest.map(([label]) => word(label)).join(", "), "quiet"),
  ]);
  return make("div", [list, folded]);
}

function bar(label, value) {
  const fill = make("span", null, "fill"), track = make("span", fill, "track");
  fill.style.width = `${value * 100}%`;
  paint(fill, label);
  track.setAttribute("aria-hidden", "true");
  return make("li", [make("span", word(label), "label"), make("span", percent(value), "number"), track]);
}

function doubt(face) {
  return face.uncertain ? [make("p", "Uncertain: the highest probability is below the threshold. Take it as a guess between the classes above.", "note")] : [];
}

function quality({ quality: measured, score }) {
  if (!measured) return [];
  const rows = [
    ["Face", `${Math.round(measured.size)} pixels wide`],
    ["Sharpness", `${measured.sharpness.toFixed(2)}${measured.reasons.includes("blurred") ? "" : " (0.3 and more is sharp)"}`],
    ["Turned", measured.turn === null ? "unknown" : `about ${Math.round(measured.turn)}°`],
    ["Inside the photo", percent(measured.inside) === "> 99%" ? "whole" : percent(measured.inside)],
    ["Detection score", score.toFixed(2)],
  ];
  const problems = measured.reasons.map((reason) => REASONS[reason] ?? reason).join("; ");
  const head = measured.good ? "Quality: good" : `Quality: ${problems}`;
  const list = make("dl", rows.flatMap(([name, value]) => [make("dt", name), make("dd", value)]), "facts");
  const folded = make("details", [make("summary", head), list], measured.good ? "" : "poor");
  return [folded];
}

function explained(face) {
  const [{ faithfulness, class: label }] = face.maps, score = `score ${faithfulness.score.toFixed(2)} against random maps`;
  const verdict = faithfulness.explains
    ? `Covering what the map marks lowers "${word(label)}" more than covering other regions: ${score}, where 0 is chance.`
    : `This map explains nothing: ${score}, where 0 is chance.`;
  const ramp = make("div", null, "ramp");
  ramp.setAttribute("aria-hidden", "true");
  return [ramp, make("p", [make("span", "less"), make("span", `speaks for ${word(label)}`), make("span", "more")], "ramp-words quiet"), make("p", verdict, "score")];
}

// One colour for each class: on photos as it is, beside the page's background dark or light enough to be seen.

import { make } from "./dom.js";
import { count, english } from "./words.js";

// The table of mien.drawing.draw: Okabe and Ito's palette and a violet, which people with any colour vision can tell apart.
export const COLOURS = {
  anger: "#d55e00", disgust: "#009e73", fear: "#cc79a7", happiness: "#f0e442", sadness: "#0072b2",
  surprise: "#e69f00", neutral: "#56b4e9", contempt: "#7f4fc4",
};
// The table of the other classes, of the same module.
export const OWN = [
  "#aa00ff", "#ee0055", "#00ffee", "#bbee99", "#223355", "#552200", "#550088", "#ff8844", "#9988ff", "#ddaaaa", "#994400", "#556688",
];
let own = [];

// The classes of the model at hand: those of one's own get their colours in alphabetical order.
export function useClasses(labels) { own = labels.filter((label) => !(english(label) in COLOURS)).sort(); }

export function colour(label) {
  const known = COLOURS[english(label)];
  if (known) return known;
  if (!own.includes(label)) own.push(label);
  return OWN[own.indexOf(label) % OWN.length];
}

// Give an element the colour of a class as custom properties; style.css takes the one that fits light or dark.
export function paint(element, label) {
  element.style.setProperty("--own", colour(label));
  element.style.setProperty("--on-light", shade(colour(label), "#dfe3e8"));
  element.style.setProperty("--on-dark", shade(colour(label), "#363b44"));
}

// Mix a colour with black or white until its contrast with the background is 3 : 1 (WCAG 2.2, 1.4.11).
export function shade(own, background) {
  const goal = luminance(background) > 0.179 ? 0 : 255;
  for (let part = 0; part < 1; part += 0.02) {
    const mixed = join(split(own).map((value) => value + (goal - value) * part));
    if (contrast(mixed, background) >= 3) return mixed;
  }
  return goal ? "#ffffff" : "#000000";
}

export function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

// Black or white, whichever contrasts more.
export const ink = (paper) => (luminance(paper) > 0.179 ? "#000000" : "#ffffff");

function luminance(text) {
  const [r, g, b] = split(text).map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

const split = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
const join = (values) => `#${values.map((value) => Math.round(value).toString(16).padStart(2, "0")).join("")}`;

export function mark(label) {
  const square = make("i", null, "mark");
  paint(square, label);
  return square;
}

// How many of what, as one bar; the summary beside it says the same.
export function mixture(faces) {
  const parts = count(faces).map(([label, number]) => {
    const part = make("span", null, "fill");
    paint(part, label);
    part.style.flexGrow = String(number);
    return part;
  });
  const bar = make("div", parts, "mixture");
  bar.setAttribute("aria-hidden", "true");
  return bar;
}

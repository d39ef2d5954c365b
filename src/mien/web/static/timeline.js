// The timeline of a video: a row for each person, in it the probabilities of each moment; a slider over all of it.

import { colour, mark } from "./colours.js";
import { button, make } from "./dom.js";
import { clock, percent, plural, word } from "./words.js";

const WIDTH = 720, HEIGHT = 56; // pixels of a row's canvas
const ROWS = 8, MOMENTS = 300; // people shown at first; rows of the table
const GAP = 1; // seconds without a person after which a row has a gap

export class Timeline {
  // frames: of the result; seek(seconds): called when the user moves; says(frame): it in words.
  constructor(frames, labels, { seek, says }) {
    Object.assign(this, { frames, labels, says });
    this.step = typical(frames);
    this.end = (frames.at(-1)?.seconds ?? 0) + this.step;
    this.lives = livesOf(frames);
    this.rows = make("div", null, "rows");
    this.slider = slider(this.step, () => seek(Number(this.slider.value)));
    this.head = make("div", null, "head");
    this.axis = make("div", null, "axis-x quiet");
    this.axis.setAttribute("aria-hidden", "true");
    this.all = this.lives.length > ROWS ? [make("p", this.more(), "actions")] : [];
    this.element = make("div", [make("div", [this.rows, this.head, this.slider], "tracks"), this.axis, ...this.all], "timeline");
    this.draw(ROWS);
  }

  more() {
    return button(`Show all ${this.lives.length} people`, (element) => {
      this.draw(this.lives.length);
      element.parentElement.remove();
      this.slider.focus();
    });
  }

  // The player knows the video's end better than its last frame does.
  stretch(seconds) {
    this.end = Math.max(seconds, this.end - this.step);
    this.draw(this.shown);
  }

  draw(most) {
    this.shown = most;
    this.rows.replaceChildren(...this.lives.slice(0, most).map((life) => this.row(life)));
    this.slider.max = this.end;
    this.axis.replaceChildren(...[0, this.end / 2, this.end].map((at) => make("span", clock(at, this.end < 20 ? 1 : 0))));
    this.point(Number(this.slider.value));
  }

  row(life) {
    const canvas = make("canvas");
    Object.assign(canvas, { width: WIDTH, height: HEIGHT });
    canvas.setAttribute("aria-hidden", "true");
    this.paint(canvas.getContext("2d"), life);
    const [[first]] = life.shares;
    return make("div", [make("p", [mark(first), `Person ${life.id}, ${described(life, this.step)}`], "row-head"), canvas], "row");
  }

  // Stacked areas: each column has the mean of what falls into it, and what is longer than a column spans several.
  paint(context, { moments }) {
    const columns = Array.from({ length: WIDTH }, () => null), column = (at) => Math.min(WIDTH - 1, Math.floor((at / this.end) * WIDTH));
    moments.forEach(({ seconds, person }, index) => {
      const next = moments[index + 1]?.seconds ?? Infinity;
      const until = next - seconds <= GAP ? next : seconds + this.step;
      for (let x = column(seconds); x <= Math.max(column(seconds), column(until) - 1); x++) {
        (columns[x] ??= []).push(person.probabilities);
      }
    });
    columns.forEach((all, x) => {
      let y = HEIGHT;
      for (const label of all ? this.labels : []) {
        const high = (all.reduce((sum, one) => sum + (one[label] ?? 0), 0) / all.length) * HEIGHT;
        context.fillStyle = colour(label);
        context.fillRect(x, (y -= high), 1, high);
      }
    });
  }

  // Move the line to a moment.
  point(seconds) {
    const at = Math.min(seconds, this.end);
    this.slider.value = at;
    this.slider.setAttribute("aria-valuetext", `${clock(at, 1)} of ${clock(this.end, 1)}: ${this.says(this.frameAt(at))}`);
    this.head.style.left = `${(at / this.end) * 100}%`;
  }

  // The frame that is shown at a moment; none where the video was not read.
  frameAt(seconds) {
    let low = 0, high = this.frames.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.frames[middle].seconds <= seconds + 1e-3) low = middle + 1;
      else high = middle;
    }
    const frame = this.frames[Math.max(0, low - 1)];
    return frame && Math.abs(seconds - frame.seconds) <= Math.max(2 * this.step, 0.25) ? frame : null;
  }

  // The same as a table, made when it is opened.
  moments() {
    const body = make("div"), folded = make("details", [make("summary", "The timeline as a table"), body]);
    folded.addEventListener("toggle", () => body.firstChild || body.append(...this.table()), { once: true });
    return folded;
  }

  table() {
    const spans = this.lives.flatMap((life) => life.spans).sort((a, b) => a.from - b.from);
    const rows = spans.slice(0, MOMENTS).map((span) => {
      const go = button(clock(span.from, 1), () => { this.slider.value = span.from; this.slider.dispatchEvent(new Event("input")); });
      go.setAttribute("aria-label", `Go to ${clock(span.from, 1)}`);
      return make("tr", [make("td", go), ...[clock(span.to + this.step, 1), String(span.id), `${word(span.emotion)} ${percent(span.sum / span.count)}`].map((text) => make("td", text))]);
    });
    const head = make("thead", make("tr", ["From", "To", "Person", "Emotion, mean probability"].map((text) => Object.assign(make("th", text), { scope: "col" }))));
    const scroller = make("div", make("table", [head, make("tbody", rows)]), "scroller");
    Object.assign(scroller, { tabIndex: 0, role: "region", ariaLabel: "The timeline as a table" });
    return spans.length > MOMENTS ? [scroller, make("p", `The first ${MOMENTS} of ${spans.length} rows; the saved frames have all.`, "quiet")] : [scroller];
  }
}

function slider(step, move) {
  const input = make("input", null, "seek");
  Object.assign(input, { type: "range", min: 0, step: "any", value: 0, ariaLabel: "Time in the video" });
  input.addEventListener("input", move);
  // Where any value is allowed, browsers differ in how far an arrow key goes.
  input.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (!way) return;
    event.preventDefault();
    input.value = Number(input.value) + way * Math.max(step, Number(input.max) / 100);
    move();
  });
  return input;
}

// Seconds between frames, as most of them have it.
function typical(frames) {
  const steps = frames.slice(1).map(({ seconds }, index) => seconds - frames[index].seconds).sort((a, b) => a - b);
  return steps[steps.length >> 1] || 0.1;
}

// Everybody with all moments, with spans of one emotion, and with the share of each emotion, most first.
function livesOf(frames) {
  const lives = new Map();
  for (const { seconds, people } of frames) {
    for (const person of people) {
      if (!lives.has(person.id)) lives.set(person.id, { id: person.id, moments: [], spans: [], numbers: new Map() });
      add(lives.get(person.id), seconds, person);
    }
  }
  for (const life of lives.values()) {
    life.shares = [...life.numbers].map(([label, number]) => [label, number / life.moments.length]).sort((a, b) => b[1] - a[1]);
  }
  return [...lives.values()].sort((a, b) => a.id - b.id);
}

function add(life, seconds, person) {
  const { emotion, confidence } = person, span = life.spans.at(-1);
  life.moments.push({ seconds, person });
  life.numbers.set(emotion, (life.numbers.get(emotion) ?? 0) + 1);
  if (span?.emotion === emotion && seconds - span.to <= GAP) Object.assign(span, { to: seconds, sum: span.sum + confidence, count: span.count + 1 });
  else life.spans.push({ id: life.id, emotion, from: seconds, to: seconds, sum: confidence, count: 1 });
}

// "0:02 to 0:14: happiness 63%, neutral 30%, 1 other"
function described({ shares, moments }, step) {
  const names = shares.slice(0, 2).map(([label, share]) => `${word(label)} ${percent(share)}`);
  const rest = shares.length > 2 ? [plural(shares.length - 2, "other")] : [];
  const emotions = shares.length === 1 ? word(shares[0][0]) : [...names, ...rest].join(", ");
  return `${clock(moments[0].seconds)} to ${clock(moments.at(-1).seconds + step)}: ${emotions}`;
}

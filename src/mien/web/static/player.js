// One video that is read: the player with boxes, the timeline of each person's emotions, and both moved together.

import { mark } from "./colours.js";
import { button, make } from "./dom.js";
import { boxes } from "./draw.js";
import { frameTable, jsonLines, save } from "./save.js";
import { Timeline } from "./timeline.js";
import { clock, plural, title, word } from "./words.js";

const NAMED = 4; // people whose emotions are said for a moment

export class Player {
  // video: name, url, result; labels: the model's; at: seconds at which to begin.
  constructor(video, { labels, at = 0 }) {
    Object.assign(this, { video, labels, frames: video.result.frames, time: at });
    this.now = make("div", null, "now");
    this.now.style.minHeight = `${1.5 * (1 + Math.min(NAMED + 1, most(this.frames)))}em`; // so that nothing moves while it plays
    this.timeline = new Timeline(this.frames, labels, { seek: (seconds) => this.seek(seconds), says: (frame) => says(frame).join(", ") });
    this.element = make("article", [make("h3", video.name), ...this.summary(), make("div", [make("div", this.stage()), this.now], "pair")], "photo film");
    this.element.setAttribute("aria-label", video.name);
    if (video.people) this.element.append(this.timeline.element, this.legend(), this.timeline.moments());
    this.element.append(this.tools());
    this.show(at);
  }

  summary() {
    const { video: { people, result: { damaged } }, frames } = this;
    const read = `${plural(frames.length, "frame")} read, up to ${clock(this.timeline.end, 1)}.`;
    const lines = [make("p", people ? `${plural(people, "person", "people")}. ${read}` : `No face was detected. ${read}`, "summary")];
    if (damaged) lines.push(make("p", "The video is damaged: parts of it could not be read.", "note"));
    return lines;
  }

  stage() {
    const { width = 16, height = 9 } = this.frames[0] ?? {};
    this.player = make("video");
    Object.assign(this.player, { src: this.video.url, controls: true, playsInline: true, preload: "auto", ariaLabel: this.video.name });
    this.overlay = make("canvas");
    this.overlay.setAttribute("aria-hidden", "true");
    Object.assign(this.overlay, { width, height });
    const stage = make("div", [this.player, this.overlay], "stage");
    stage.style.aspectRatio = `${width} / ${height}`;
    stage.style.setProperty("--shape", width / height);
    this.listen(stage);
    return stage;
  }

  listen(stage) {
    const { player } = this, move = () => this.show(player.currentTime);
    player.addEventListener("loadedmetadata", () => {
      if (Number.isFinite(player.duration)) this.timeline.stretch(player.duration);
      if (!player.videoWidth) return this.giveUp(stage);
      player.currentTime = this.time;
    });
    for (const name of ["timeupdate", "seeked"]) player.addEventListener(name, move);
    if (player.requestVideoFrameCallback) player.requestVideoFrameCallback(() => this.follow());
    player.addEventListener("error", () => this.giveUp(stage));
  }

  // A format that the server reads and the browser does not, or of which it plays the sound only.
  giveUp(stage) {
    this.still = true;
    this.player.pause();
    stage.replaceWith(make("p", "This browser cannot play the video. The timeline has its results all the same.", "note"));
  }

  // Boxes for every frame that is shown, where the browser tells.
  follow() {
    this.show(this.player.currentTime);
    this.player.requestVideoFrameCallback(() => this.follow());
  }

  seek(seconds) {
    if (!this.still && this.player.readyState) this.player.currentTime = seconds;
    this.show(seconds);
  }

  show(seconds) {
    this.time = seconds;
    const frame = this.timeline.frameAt(seconds), context = this.overlay.getContext("2d");
    context.clearRect(0, 0, this.overlay.width, this.overlay.height);
    if (frame) boxes(context, frame.people);
    this.now.replaceChildren(make("p", clock(seconds, 1)), make("ul", says(frame).map((text) => make("li", text))));
    this.timeline.point(seconds);
  }

  legend() {
    return make("ul", this.labels.map((label) => make("li", [mark(label), word(label)])), "legend");
  }

  tools() {
    const stem = this.video.name.replace(/\.[^.]*$/, "");
    const table = button("Save frames (CSV)", () => save(`${stem}.csv`, frameTable(this.frames, this.labels)));
    const lines = button("Save frames (JSON lines)", () => save(`${stem}.jsonl`, jsonLines(this.frames)));
    return make("p", [lines, table], "actions");
  }
}

// The people of a moment, in words for each.
function says(frame) {
  const people = frame?.people ?? [];
  if (!people.length) return ["No face"];
  const names = people.slice(0, NAMED).map((person) => `Person ${person.id}: ${title(person)}`);
  return [...names, ...(people.length > NAMED ? [`${people.length - NAMED} more`] : [])];
}

const most = (frames) => frames.reduce((number, { people }) => Math.max(number, people.length), 1);

// A photo or video that is not read, or not yet: what is being done, how far it is, and what can be done about it.

import { button, make } from "./dom.js";
import { percent } from "./words.js";

export class Pending {
  // alone: a function that says whether nothing else has buttons for it; retry: called to read it again.
  constructor(photo, { alone, retry }) {
    Object.assign(this, { photo, alone, retry });
    this.line = make("p");
    this.bar = make("progress");
    this.bar.setAttribute("aria-label", `Progress of ${photo.name}`);
    this.actions = make("p", null, "actions");
    this.element = make("article", [make("h3", photo.name), this.line, this.bar, this.actions], "photo");
    this.element.setAttribute("aria-label", photo.name);
    this.update();
  }

  // Only what changed: the focused button stays.
  update() {
    const { state, progress, isVideo } = this.photo;
    this.line.textContent = this.words();
    this.line.className = state === "failed" ? "bad" : "";
    if (state === "failed") this.line.setAttribute("role", "alert");
    else this.line.removeAttribute("role");
    this.bar.hidden = !isVideo || !["sending", "reading"].includes(state);
    if (progress === null) this.bar.removeAttribute("value");
    else this.bar.value = progress ?? 0;
    const wanted = this.alone() ? this.action() : "";
    if (this.wanted === wanted) return;
    const focused = this.actions.contains(document.activeElement);
    this.wanted = wanted;
    this.actions.replaceChildren(...(wanted ? [button(wanted, () => this.act())] : []));
    if (focused) this.actions.querySelector("button")?.focus();
  }

  words() {
    const { state, reason, isVideo, queued, progress } = this.photo, thing = isVideo ? "video" : "photo";
    const read = isVideo && progress ? `Reading the video: ${percent(progress)}` : `Reading the ${thing} …`;
    const reading = isVideo && queued ? "The video waits on the server until another one is read …" : read;
    const sending = isVideo && progress ? `Sending the video: ${percent(progress)}` : `Sending the ${thing} …`;
    return { waiting: "Waiting …", sending, reading, cancelled: "Cancelled.", failed: reason, done: "" }[state];
  }

  action() {
    const { state, again } = this.photo;
    if (["waiting", "sending", "reading"].includes(state)) return "Cancel";
    return state === "cancelled" || (state === "failed" && again) ? "Try again" : "";
  }

  act() {
    if (this.wanted === "Cancel") this.photo.cancel();
    else this.retry(this.photo);
  }
}

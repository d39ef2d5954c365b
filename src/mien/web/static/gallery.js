// All photos and videos as a grid: thumbnail, state, cancel and retry of each; choosing one shows it below.

import { button, make, radio } from "./dom.js";
import { mixture } from "./colours.js";
import { count, percent, plural, word } from "./words.js";

const STATES = { waiting: "waiting", sending: "sending", reading: "reading …", cancelled: "cancelled" };

export class Gallery {
  constructor(element, { choose, retry }) {
    Object.assign(this, { element, choose, retry, items: new Map() });
  }

  add(photos) {
    for (const photo of photos) {
      const item = make("li", null, "item");
      this.items.set(photo, item);
      this.element.append(item);
      this.fill(photo);
      photo.addEventListener("change", () => this.update(photo));
    }
  }

  clear() {
    this.items.clear();
    this.element.replaceChildren();
  }

  fill(photo) {
    const item = this.items.get(photo);
    const view = { picture: make("span", null, "item-picture"), state: make("span", null, "item-state"), actions: make("span", null, "item-actions") };
    if (photo.isVideo) view.picture.append(sign());
    const content = [view.picture, make("span", photo.name, "item-name"), view.state];
    const input = radio("photo", photo.id, () => this.choose(photo)), label = make("label", content);
    label.htmlFor = photo.id;
    item.append(input, label, view.actions);
    Object.assign(item, { view });
    this.update(photo);
  }

  // Only what changed: the focused element stays.
  update(photo) {
    const item = this.items.get(photo);
    if (!item) return;
    const { picture, state, actions } = item.view;
    item.dataset.state = photo.state;
    if (photo.thumbnail && !picture.firstChild) picture.append(photo.thumbnail);
    state.replaceChildren(...this.words(photo));
    const wanted = this.action(photo);
    if (actions.dataset.action === wanted) return;
    const focused = actions.contains(document.activeElement);
    actions.dataset.action = wanted;
    actions.replaceChildren(...this.buttons(photo, wanted));
    if (focused) (actions.querySelector("button") ?? item.querySelector("input")).focus();
  }

  words(photo) {
    if (photo.state === "done" && photo.isVideo) return [plural(photo.people, "person", "people")];
    if (photo.state === "done") {
      const labels = count(photo.faces).map(([label, number]) => `${number} ${word(label)}`);
      return photo.faces.length ? [mixture(photo.faces), plural(photo.faces.length, "face"), ": ", labels.join(", ")] : ["no face"];
    }
    if (photo.state === "failed") return [make("span", photo.reason, "bad")];
    const share = photo.state === "sending" || photo.isVideo ? photo.progress : 0;
    return [share ? `${photo.state}, ${percent(share)}` : STATES[photo.state]];
  }

  action({ state, again }) {
    if (["waiting", "sending", "reading"].includes(state)) return "cancel";
    return state === "cancelled" || (state === "failed" && again) ? "retry" : "";
  }

  buttons(photo, wanted) {
    if (!wanted) return [];
    const element = wanted === "cancel" ? button("Cancel", () => photo.cancel()) : button("Try again", () => this.retry(photo));
    element.setAttribute("aria-label", `${element.textContent}: ${photo.name}`);
    return [element];
  }

  select(photo) {
    const input = document.getElementById(photo.id);
    if (input) input.checked = true;
  }
}

function sign() {
  const element = make("span", "▶", "play");
  element.setAttribute("aria-hidden", "true");
  return element;
}

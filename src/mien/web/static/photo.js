// One photo from the file to its result: what it is, made to fit, sent, read.

import * as api from "./api.js";
import { fit, kindOf, open, toJpeg } from "./files.js";
import { explain, maybeLater, notPhoto } from "./words.js";

const THUMBNAIL = 160; // pixels of the short side
let made = 0;

// Reasons for which the whole queue waits, and no photo is to blame.
const HALTS = ["no-token", "overloaded", "too-many-requests", "gone"];

export class Photo extends EventTarget {
  // state: waiting, sending, reading, done, failed or cancelled.
  constructor(file) {
    super();
    this.file = file;
    this.name = file.name || "photo";
    this.id = `photo-${++made}`;
    this.url = URL.createObjectURL(file);
    this.state = "waiting";
    this.notes = [];
  }

  get faces() { return this.result?.faces ?? []; }

  get isVideo() { return false; }

  // The photo's item as the API has it in a response.
  get item() { return this.result ?? { source: this.name, error: this.error ?? (this.state === "cancelled" ? "cancelled" : "not read yet") }; }

  set(state, progress = 0) {
    Object.assign(this, { state, progress });
    this.dispatchEvent(new Event("change"));
  }

  // Read the photo. Throws the problem for which the queue has to halt; all others become the photo's error.
  async read(limits) {
    this.abort = new AbortController();
    Object.assign(this, { error: undefined, reason: undefined, result: undefined, maps: [], notes: [] });
    this.set("sending");
    try {
      await this.prepare();
      const { results } = await this.send(limits);
      if (this.state === "cancelled") return;
      this.result = results[0];
      this.set("done");
    } catch (error) {
      if (error instanceof api.Problem) return this.fail(error, limits);
      Object.assign(this, { error: String(error), reason: "The page made a mistake with this file.", again: false });
      this.set("failed");
      reportError(error);
    }
  }

  async prepare() {
    this.kind ??= await kindOf(this.file).catch((error) => {
      if (!(error instanceof DOMException)) throw error;
      throw new api.Problem("not-photo", "The browser cannot open this file. If it is a folder, choose the photos in it.");
    });
    if (notPhoto(this.kind)) throw new api.Problem("not-photo", notPhoto(this.kind));
    if (this.picture === undefined) {
      this.picture = await open(this.url);
      this.thumbnail = this.picture && thumbnail(this.picture);
    }
  }

  async send(limits) {
    const fitted = await fit(this.file, this.picture, limits);
    if (!fitted) throw new api.Problem("body-too-large", "The photo is too large for the server, and the browser cannot make it smaller.");
    this.sent = fitted.file;
    if (fitted.scale) this.notes.push(shrunk(this.picture, fitted.scale));
    const how = { signal: this.abort.signal, progress: (part) => this.set(part < 1 ? "sending" : "reading", part) };
    try {
      return await api.predict(this.sent, how);
    } catch (error) {
      if (error.kind !== "unreadable-image" || this.kind === "photo" || !this.picture || fitted.scale) throw error;
      // A format that the browser knows and the server does not, such as HEIC in Safari; a damaged JPEG stays refused.
      this.sent = await toJpeg(this.file, this.picture);
      if (!this.sent) throw error;
      this.notes.push("Converted to JPEG in this browser, as the server does not read the file's format.");
      return api.predict(this.sent, how);
    }
  }

  fail(error, limits) {
    if (error.kind === "cancelled") return this.set("cancelled");
    if (HALTS.includes(error.kind)) {
      this.set("waiting");
      throw error;
    }
    this.error = error.message;
    this.reason = error.kind === "not-photo" ? error.message : explain(error, this.kind, limits);
    this.again = maybeLater(error);
    this.set("failed");
  }

  cancel() {
    this.abort?.abort();
    this.set("cancelled");
  }

  // The face at an index of the result with its map, kept for the next time.
  async explain(index) {
    this.maps[index] ??= (await api.explain(this.sent, index, this.result, this.abort.signal)).results[0].faces[0];
    return this.maps[index];
  }

  close() {
    this.abort?.abort();
    URL.revokeObjectURL(this.url);
  }
}

function shrunk({ naturalWidth, naturalHeight }, scale) {
  const millions = (factor) => `${((naturalWidth * naturalHeight * factor) / 1e6).toFixed(1)}`;
  const sizes = scale < 1 ? `from ${millions(1)} to ${millions(scale * scale)} megapixels` : "as JPEG";
  return `Made smaller in this browser, ${sizes}, to fit the server's limits; positions in the files are those in the smaller photo.`;
}

function thumbnail(picture) {
  const scale = THUMBNAIL / Math.min(picture.naturalWidth, picture.naturalHeight);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = THUMBNAIL;
  const [wide, high] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
  canvas.getContext("2d").drawImage(picture, (THUMBNAIL - wide) / 2, (THUMBNAIL - high) / 2, wide, high);
  return canvas;
}

// The webcam: frames out, results in, boxes over the mirrored picture, people followed, a timeline, a record.

import * as api from "./api.js";
import { colour, mark } from "./colours.js";
import { $, make } from "./dom.js";
import { boxes } from "./draw.js";
import { People } from "./people.js";
import { record, save } from "./save.js";
import { explain, plural, title, word } from "./words.js";

const SECONDS = 60, IN_FLIGHT = 2, SPOKEN_EVERY = 4000, TRIES = 5;
const WIDTH = 640;
const MOST_ROWS = 200_000; // of a record, about 100 MB

let camera = null, starting = false;

// threshold: a function that gives the confidence below which a face is uncertain; locked: called where a token is asked for.
export async function start({ threshold, locked }) {
  if (camera || starting) return; // a second click must not open a camera that nobody can stop
  starting = true;
  $("camera-problem").hidden = true;
  try {
    const media = await openCamera();
    camera = new Camera(media, threshold, locked);
    $("live").hidden = false;
    await camera.show();
    await listCameras(media);
    $("stop").focus({ preventScroll: true });
    $("live").scrollIntoView({ block: "nearest" });
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    stop();
    $("camera-problem").textContent = refusal(error);
    $("camera-problem").hidden = false;
  } finally {
    starting = false;
  }
}

export function stop() {
  if (!camera) return;
  camera.close();
  camera = null;
  $("live").hidden = true;
  $("camera").focus();
}

// Another camera, in the same session and record.
export async function change(id) {
  try {
    await camera?.use(await openCamera(id));
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    camera?.say(refusal(error), true);
  }
}

export const retry = () => camera?.retry();
export const reconnect = () => camera?.restart();
export const saveRecord = () => save("mien-webcam.csv", record(rows));

let rows = [];

function openCamera(id) {
  if (!navigator.mediaDevices) throw new DOMException("no mediaDevices", "SecurityError");
  return navigator.mediaDevices.getUserMedia({ video: { width: WIDTH, height: 480, ...(id ? { deviceId: { exact: id } } : { facingMode: "user" }) }, audio: false });
}

function refusal(error) {
  const reasons = {
    NotAllowedError: "The browser or you did not allow the webcam. Allow it for this page, then try again.",
    NotFoundError: "No webcam was detected. Connect one, then try again.",
    NotReadableError: "The webcam is in use by another program. Close that, then try again.",
    SecurityError: "Browsers offer the webcam on https addresses and on this computer only.",
  };
  return reasons[error.name] ?? `The webcam did not start (${error.name}).`;
}

async function listCameras(media) {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
  const now = media.getVideoTracks()[0].getSettings().deviceId;
  $("cameras").replaceChildren(...cameras.map((device, index) => new Option(device.label || `Camera ${index + 1}`, device.deviceId, false, device.deviceId === now)));
  $("camera-choice").hidden = cameras.length < 2;
}

class Camera {
  constructor(media, threshold, locked) {
    Object.assign(this, { media, threshold, locked, sent: new Map(), moments: [], delays: [], spoken: 0, tries: 0 });
    this.people = new People();
    this.begun = performance.now();
    this.frame = document.createElement("canvas");
    rows = [];
    $("record").hidden = true;
    $("legend").replaceChildren();
    this.blank("Waiting for the first result …");
    this.connect();
  }

  async show() {
    $("video").srcObject = this.media;
    await $("video").play();
  }

  async use(media) {
    this.media.getTracks().forEach((track) => track.stop());
    this.media = media;
    this.people = new People();
    await this.show();
    this.tick();
  }

  connect() {
    const socket = (this.socket = api.stream());
    let opened = false;
    socket.onopen = () => { opened = true; this.number = 0; this.sent.clear(); this.say(""); this.tick(); };
    socket.onmessage = (message) => this.take(JSON.parse(message.data));
    socket.onclose = () => this.closed || socket !== this.socket || this.lost(opened);
  }

  // With other options: the new socket takes over.
  restart() {
    const before = this.socket;
    before.onmessage = null;
    this.encoding = false;
    this.connect();
    before.close();
  }

  retry() {
    this.tries = 0;
    $("reconnect").hidden = true;
    this.connect();
  }

  // A refused WebSocket does not say why; the server is asked whether it is there and wants a token.
  async lost(opened) {
    if (opened) this.tries = 0;
    this.blank("No connection");
    const reason = await api.offer().then(() => (opened ? "The connection was lost." : "The server has no free live stream, or something between blocks WebSockets."), (problem) => {
      if (problem.kind === "no-token") this.locked();
      return explain(problem);
    });
    if (this.closed) return;
    this.tries += 1;
    const again = this.tries < TRIES;
    this.say(again ? `${reason} Trying again, ${this.tries} of ${TRIES} …` : reason, true);
    $("reconnect").hidden = again;
    if (again) this.timer = setTimeout(() => this.connect(), 2000);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket.close();
    this.media.getTracks().forEach((track) => track.stop());
    $("video").srcObject = null;
    $("reconnect").hidden = true;
    $("record").hidden = !rows.length;
    if (rows.length) $("record-words").textContent = `The webcam is off. Its record has ${plural(rows.length, "row")} of numbers and no pictures.`;
  }

  say(text, bad = false) {
    if ($("live-status").textContent === text) return;
    $("live-status").textContent = text;
    $("live-status").classList.toggle("bad", bad);
  }

  // Nothing old stays where nothing new comes.
  blank(text) {
    const overlay = $("overlay");
    overlay.getContext("2d").clearRect(0, 0, overlay.width, overlay.height);
    $("now").textContent = text;
    $("pace").textContent = "";
    this.delays = [];
  }

  // One frame for each picture of the camera, as long as results keep up: a frame that would wait is not taken at all.
  tick() {
    const video = $("video");
    if (this.closed || this.socket.readyState !== WebSocket.OPEN) return;
    if (!this.awaiting) video.requestVideoFrameCallback(() => { this.awaiting = false; this.tick(); });
    this.awaiting = true;
    if (!video.videoWidth || this.sent.size + (this.encoding ? 1 : 0) >= IN_FLIGHT || this.encoding || this.socket.bufferedAmount) return;
    const scale = Math.min(1, WIDTH / video.videoWidth);
    this.frame.width = Math.round(video.videoWidth * scale);
    this.frame.height = Math.round(video.videoHeight * scale);
    this.frame.getContext("2d").drawImage(video, 0, 0, this.frame.width, this.frame.height);
    const taken = performance.now(), { socket } = this;
    this.encoding = true;
    this.frame.toBlob((blob) => this.send(socket, blob, taken), "image/jpeg", 0.8);
  }

  send(socket, blob, taken) {
    if (socket !== this.socket) return;
    this.encoding = false;
    if (this.closed || socket.readyState !== WebSocket.OPEN) return;
    this.sent.set(++this.number, taken);
    socket.send(blob);
  }

  take(message) {
    const now = performance.now(), taken = this.sent.get(message.frame);
    for (const number of this.sent.keys()) if (number <= message.frame) this.sent.delete(number);
    if (this.closed || taken === undefined) return; // of the connection before
    if (message.error) return this.say("The server is busy and left out a frame.", true);
    this.say("");
    const overlay = $("overlay"), { width, height } = message.result;
    const faces = this.people.update(message.result.faces, taken / 1000, this.threshold());
    if (overlay.width !== width || overlay.height !== height) Object.assign(overlay, { width, height });
    const context = overlay.getContext("2d");
    context.clearRect(0, 0, width, height);
    boxes(context, faces, { mirrored: true });
    this.keep(faces, (taken - this.begun) / 1000);
    this.report(faces, now, performance.now() - taken);
  }

  keep(faces, seconds) {
    if (rows.length + faces.length > MOST_ROWS) return this.say("The record is full; it has the session up to here.");
    rows.push(...faces.map((face) => ({ ...face, seconds })));
  }

  report(faces, now, delay) {
    const largest = [...faces].sort((a, b) => b.box.width * b.box.height - a.box.width * a.box.height)[0];
    this.moments = [...this.moments, { at: now, probabilities: largest?.probabilities }].filter((moment) => now - moment.at < SECONDS * 1000);
    this.delays = [...this.delays, { now, delay }].filter((moment) => now - moment.now < 3000);
    const span = (now - this.delays[0].now) / 1000;
    const rate = span > 0 ? (this.delays.length - 1) / span : 0;
    const median = this.delays.map((moment) => moment.delay).sort((a, b) => a - b)[Math.floor(this.delays.length / 2)];
    const text = largest ? `Person ${largest.id}: ${title(largest)}` : "No face";
    $("now").textContent = faces.length > 1 ? `${text} (largest of ${faces.length} faces)` : text;
    $("pace").textContent = `${rate.toFixed(0)} frames/s, ${median.toFixed(0)} ms from camera to box`;
    Object.assign($("live").dataset, { rate: rate.toFixed(1), latency: median.toFixed(1), frames: this.number, people: this.people.last });
    if (now - this.spoken > SPOKEN_EVERY) {
      this.spoken = now;
      $("spoken").textContent = text;
    }
    this.draw(now, largest ? Object.keys(largest.probabilities) : []);
  }

  // Stacked areas from left (60 seconds ago) to right (now); moments without a face are gaps.
  draw(now, labels) {
    const canvas = $("timeline"), context = canvas.getContext("2d");
    this.labels = labels.length ? labels : this.labels ?? [];
    if (this.labels.length && !$("legend").children.length) $("legend").append(...this.labels.map((label) => make("li", [mark(label), word(label)])));
    context.clearRect(0, 0, canvas.width, canvas.height);
    const x = (at) => canvas.width * (1 - (now - at) / (SECONDS * 1000));
    this.moments.forEach((moment, index) => {
      if (!moment.probabilities) return;
      const next = this.moments[index + 1]?.at ?? now;
      const wide = Math.max(1, x(Math.min(next, moment.at + 500)) - x(moment.at) + 0.5);
      let y = canvas.height;
      for (const label of this.labels) {
        const high = (moment.probabilities[label] ?? 0) * canvas.height;
        context.fillStyle = colour(label);
        context.fillRect(x(moment.at), (y -= high), wide, high);
      }
    });
    context.fillStyle = "#00000055";
    for (const part of [0.25, 0.5, 0.75]) context.fillRect(0, canvas.height * part, canvas.width, 1);
  }
}

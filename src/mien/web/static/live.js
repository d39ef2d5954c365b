// The webcam: frames out, answers in, boxes over the picture, a timeline of the largest face.

import * as api from "./api.js";
import { boxes, colour, title } from "./draw.js";

const SECONDS = 60, IN_FLIGHT = 2, SPOKEN_EVERY = 4000;
const WIDTH = 640;
const $ = (id) => document.getElementById(id);

let camera = null;

export async function start(say) {
  if (camera) return;
  let media;
  try {
    media = await navigator.mediaDevices.getUserMedia({ video: { width: WIDTH, height: 480 }, audio: false });
  } catch (error) {
    say(`No webcam: ${error.message}. Allow it for this page; browsers offer it on https or on this computer only.`, true);
    return;
  }
  $("video").srcObject = media;
  await $("video").play();
  camera = new Camera(media, say);
  $("live").hidden = false;
  $("live").scrollIntoView({ block: "nearest" });
}

export function stop() {
  camera?.close();
  camera = null;
  $("live").hidden = true;
}

class Camera {
  constructor(media, say) {
    this.media = media;
    this.say = say;
    this.sent = new Map();
    this.number = 0;
    this.moments = [];
    this.answers = [];
    this.spoken = 0;
    this.frame = document.createElement("canvas");
    this.connect();
  }

  connect() {
    this.socket = api.stream();
    this.socket.onopen = () => { this.number = 0; this.sent.clear(); this.tick(); };
    this.socket.onmessage = (message) => this.answer(JSON.parse(message.data));
    this.socket.onclose = () => this.closed || this.lost();
  }

  lost() {
    this.say("The live connection was refused or lost. Trying again …", true);
    this.again = setTimeout(() => this.connect(), 2000);
  }

  close() {
    this.closed = true;
    clearTimeout(this.again);
    this.socket.close();
    this.media.getTracks().forEach((track) => track.stop());
  }

  // One frame for each picture of the camera, as long as answers keep up: a frame that would wait is not taken at all.
  tick() {
    const video = $("video");
    if (this.closed || this.socket.readyState !== WebSocket.OPEN) return;
    video.requestVideoFrameCallback(() => this.tick());
    if (this.sent.size + (this.encoding ? 1 : 0) >= IN_FLIGHT || this.encoding || this.socket.bufferedAmount) return;
    const scale = Math.min(1, WIDTH / video.videoWidth);
    this.frame.width = Math.round(video.videoWidth * scale);
    this.frame.height = Math.round(video.videoHeight * scale);
    this.frame.getContext("2d").drawImage(video, 0, 0, this.frame.width, this.frame.height);
    const taken = performance.now();
    this.encoding = true;
    this.frame.toBlob((blob) => this.send(blob, taken), "image/jpeg", 0.8);
  }

  send(blob, taken) {
    this.encoding = false;
    if (this.closed || this.socket.readyState !== WebSocket.OPEN) return;
    this.sent.set(++this.number, taken);
    this.socket.send(blob);
  }

  answer(told) {
    const now = performance.now(), taken = this.sent.get(told.frame);
    for (const number of this.sent.keys()) if (number <= told.frame) this.sent.delete(number);
    if (told.error) return this.say(`A frame was not read: ${told.error}`, true);
    this.say("");
    const overlay = $("overlay"), { width, height, faces } = told.result;
    if (overlay.width !== width || overlay.height !== height) Object.assign(overlay, { width, height });
    const context = overlay.getContext("2d");
    context.clearRect(0, 0, width, height);
    boxes(context, faces);
    this.tell(faces, now, performance.now() - taken);
  }

  tell(faces, now, latency) {
    const largest = [...faces].sort((a, b) => b.box.width * b.box.height - a.box.width * a.box.height)[0];
    this.moments.push({ at: now, probabilities: largest?.probabilities });
    this.moments = this.moments.filter((one) => now - one.at < SECONDS * 1000);
    this.answers = [...this.answers, { now, latency }].filter((one) => now - one.now < 3000);
    const span = (now - this.answers[0].now) / 1000;
    const rate = span > 0 ? (this.answers.length - 1) / span : 0;
    const middle = this.answers.map((one) => one.latency).sort((a, b) => a - b)[Math.floor(this.answers.length / 2)];
    const text = largest ? title(largest) : "No face";
    $("now").textContent = faces.length > 1 ? `${text} (largest of ${faces.length} faces)` : text;
    $("pace").textContent = `${rate.toFixed(0)} frames/s, ${middle.toFixed(0)} ms from camera to box`;
    Object.assign($("live").dataset, { rate: rate.toFixed(1), latency: middle.toFixed(1), frames: this.number });
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
    if (this.labels.length && !$("legend").children.length) $("legend").append(...this.labels.map(key));
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.moments.forEach((one, place) => {
      if (!one.probabilities) return;
      const x = (at) => canvas.width * (1 - (now - at) / (SECONDS * 1000));
      const next = this.moments[place + 1]?.at ?? now;
      const wide = Math.max(1, x(Math.min(next, one.at + 500)) - x(one.at) + 0.5);
      let y = canvas.height;
      for (const label of this.labels) {
        const high = one.probabilities[label] * canvas.height;
        context.fillStyle = colour(label);
        context.fillRect(x(one.at), (y -= high), wide, high);
      }
    });
  }
}

function key(label) {
  const entry = document.createElement("li"), mark = document.createElement("i");
  mark.style.background = colour(label);
  entry.append(mark, label);
  return entry;
}

// One video from the file to its results: sent, read by the server as a job, fetched, and deleted there.

import * as api from "./api.js";
import { Photo } from "./photo.js";

const SOONEST = 400, LATEST = 3000, LONGEST = 10_000; // milliseconds between questions about the job
const TRIES = 5; // questions in a row without a response
const PASSING = ["gone", "overloaded", "too-many-requests"];

export class Video extends Photo {
  // fps: a function that gives the frames to read per second.
  constructor(file, fps) {
    super(file);
    Object.assign(this, { fps, kind: "video", job: null });
  }

  get isVideo() { return true; }

  // Only what could not be read stands in a response of /v1/predict.
  get item() { return this.result ? null : super.item; }

  get people() { return new Set(this.result?.frames.flatMap(({ people }) => people.map(({ id }) => id))).size; }

  async prepare() {
    if (!this.file.size) throw new api.Problem("not-photo", "The file is empty.");
  }

  async send(limits) {
    if (limits?.videos === 0) throw new api.Problem("no-videos", "This server reads no videos: mien video reads them");
    if (this.file.size > limits?.video_body) throw new api.Problem("body-too-large", `${this.file.size} bytes: expected at most ${limits.video_body}`, { exceeded: { limit: "bytes", most: limits.video_body, given: this.file.size } });
    this.job ??= await this.upload();
    const { faults } = await this.follow();
    const frames = await this.ask(api.videoResults);
    this.forget();
    return { results: [{ frames, damaged: faults.length > 0 }] };
  }

  // Once all bytes have arrived the job exists, and must be deleted: an abort would leave it behind.
  async upload() {
    this.arrived = this.queued = false;
    const progress = (part) => { this.arrived = part >= 1; this.set(this.arrived ? "reading" : "sending", this.arrived ? null : part); };
    try {
      const { id } = await api.sendVideo(this.file, this.fps(), { signal: this.abort.signal, progress });
      if (this.state !== "cancelled") return id;
      this.forget(id);
      throw new api.Problem("cancelled", "Cancelled.");
    } catch (error) {
      throw error.kind === "not-found" ? new api.Problem("no-videos", error.message) : error;
    }
  }

  // Ask for the job until it is done.
  async follow() {
    for (let wait = SOONEST; ; wait = Math.min(LATEST, wait * 1.2)) {
      const job = await this.ask(api.showVideo);
      if (job.state === "done") return job;
      if (job.state === "failed") {
        this.forget();
        const { exceeded, seconds, progress } = job;
        throw new api.Problem("unreadable-video", job.error, { exceeded: exceeded && { ...exceeded, at: seconds, of: progress ? seconds / progress : null } });
      }
      this.queued = job.state === "waiting";
      this.set("reading", job.progress);
      await this.rest(wait);
    }
  }

  // What may pass is asked again, so that a long job outlives a short loss of the network.
  async ask(question) {
    for (let tries = 1; ; tries++) {
      try {
        const response = await question(this.job);
        if (this.state === "cancelled") throw new api.Problem("cancelled", "Cancelled.");
        return response;
      } catch (error) {
        if (this.state === "cancelled") throw new api.Problem("cancelled", "Cancelled.");
        if (error.kind === "not-found") {
          this.job = null;
          throw new api.Problem("lost", error.message);
        }
        if (tries === TRIES || !PASSING.includes(error.kind)) throw error;
        await this.rest(Math.min(LONGEST, (error.wait || 1) * 1000));
      }
    }
  }

  rest(milliseconds) {
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, milliseconds);
    });
  }

  cancel() {
    if (!this.arrived) this.abort?.abort();
    this.set("cancelled");
    this.forget();
    this.wake?.();
  }

  // Delete the job; one that cannot be deleted expires by itself.
  forget(job = this.job) {
    this.job = null;
    if (job) api.deleteVideo(job).catch((error) => { if (!(error instanceof api.Problem)) throw error; });
  }

  leave() {
    if (this.job) api.leaveVideo(this.job);
  }

  close() {
    if (["waiting", "sending", "reading"].includes(this.state)) this.cancel();
    this.forget();
    URL.revokeObjectURL(this.url);
  }
}

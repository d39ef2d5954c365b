// Photos that are read, two at once, and videos, one by one; what no file is to blame for halts them all, and is said once.

const AT_ONCE = 2, TRIES = 6, LONGEST_WAIT = 10;

export class Queue extends EventTarget {
  constructor(limits) {
    super();
    this.limits = limits; // a function, as they are known later
    this.photos = [];
    this.running = new Set();
    this.tries = 0;
  }

  add(photos) {
    for (const photo of photos) photo.addEventListener("change", () => this.changed());
    this.photos.push(...photos);
    this.go();
  }

  // Read a photo again that failed or was cancelled.
  retry(...photos) {
    for (const photo of photos) if (!this.running.has(photo)) photo.set("waiting");
    this.go();
  }

  // Go on after a halt, by the user or by the clock.
  resume() {
    clearTimeout(this.timer);
    this.halt = null;
    this.go();
  }

  clear() {
    clearTimeout(this.timer);
    this.halt = null;
    this.tries = 0;
    const photos = this.photos.splice(0);
    for (const photo of photos) photo.close();
    this.changed();
  }

  get counts() {
    const counts = { waiting: 0, sending: 0, reading: 0, done: 0, failed: 0, cancelled: 0 };
    for (const photo of this.photos) counts[photo.state] += 1;
    return counts;
  }

  get busy() {
    const { waiting, sending, reading } = this.counts;
    return waiting + sending + reading;
  }

  go() {
    while (!this.halt) {
      const next = this.photos.find((photo) => photo.state === "waiting" && !this.running.has(photo) && this.hasRoom(photo));
      if (!next) break;
      this.run(next);
    }
    this.changed();
  }

  hasRoom({ isVideo }) {
    return [...this.running].filter((other) => other.isVideo === isVideo).length < (isVideo ? 1 : AT_ONCE);
  }

  async run(photo) {
    this.running.add(photo);
    try {
      await photo.read(this.limits());
      this.tries = 0;
    } catch (problem) {
      if (this.photos.includes(photo)) this.stop(problem);
    } finally {
      this.running.delete(photo);
      this.go();
    }
  }

  // A busy server is asked again by itself, some times; all else waits for the user.
  stop(problem) {
    if (this.halt) return;
    const again = ["overloaded", "too-many-requests"].includes(problem.kind) && ++this.tries < TRIES;
    const wait = Math.min(LONGEST_WAIT, problem.wait || 1);
    this.halt = { problem, again, wait };
    if (again) this.timer = setTimeout(() => this.resume(), wait * 1000);
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}

// People followed from frame to frame in the browser: the same number as long as a face stays, and smoothed probabilities.

const SMOOTHING = 0.5; // seconds after which a change has arrived to two thirds
const PATIENCE = 2; // seconds for which a person who is not seen keeps the number
const REACH = 0.8; // sizes of a face by which its centre may move between frames

export class People {
  constructor() {
    this.people = [];
    this.last = 0;
  }

  // Match faces with people, nearest first, and return a face for each with its id and smoothed probabilities.
  // now: seconds; threshold: below it a face is uncertain.
  update(faces, now, threshold) {
    this.people = this.people.filter((person) => now - person.seen <= PATIENCE);
    const pairs = faces.flatMap((face) => this.people.map((person) => ({ face, person, distance: distance(face.box, person.box) })))
      .filter((pair) => pair.distance <= REACH).sort((a, b) => a.distance - b.distance);
    const matched = new Map(), taken = new Set();
    for (const { face, person } of pairs) {
      if (matched.has(face) || taken.has(person)) continue;
      matched.set(face, person);
      taken.add(person);
    }
    return faces.map((face) => this.follow(face, matched.get(face), now, threshold));
  }

  follow(face, before, now, threshold) {
    const person = before ?? { id: ++this.last, probabilities: face.probabilities, seen: now };
    if (!before) this.people.push(person);
    const weight = before ? 1 - Math.exp(-(now - person.seen) / SMOOTHING) : 1;
    const smoothed = Object.entries(face.probabilities)
      .map(([label, value]) => [label, mix(person.probabilities[label] ?? value, value, weight)]);
    Object.assign(person, { probabilities: Object.fromEntries(smoothed), box: face.box, seen: now });
    const [emotion, confidence] = smoothed.reduce((most, entry) => (entry[1] > most[1] ? entry : most));
    return { ...face, id: person.id, probabilities: person.probabilities, emotion, confidence, uncertain: confidence < threshold };
  }
}

const mix = (before, now, weight) => before + weight * (now - before);

// Between the centres of two boxes, in sizes of the larger one.
function distance(one, other) {
  const centre = (box) => [box.left + box.width / 2, box.top + box.height / 2];
  const [[x0, y0], [x1, y1]] = [centre(one), centre(other)];
  return Math.hypot(x1 - x0, y1 - y0) / Math.max(one.width, one.height, other.width, other.height, 1);
}

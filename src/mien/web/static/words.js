// What the page says: percentages, counts, the names of classes, and errors in the page's own words.

let names = {}, language = "en";

export const languages = () => Object.keys(names);
export const languageNow = () => language;

export function useNames(table) { names = table; }
export function useLanguage(code) { language = code in names ? code : "en"; }

// Names of Mien's classes in the chosen language; names of other classes stay as they are.
export const word = (label) => names[language]?.[label] ?? label;

// A probability is never exactly 0 or 1, and must not look like it.
export function percent(value) {
  const whole = Math.round(value * 100);
  if (whole >= 100) return "> 99%";
  return whole < 1 ? "< 1%" : `${whole}%`;
}

export const title = (face) => `${word(face.emotion)}${face.uncertain ? "?" : ""} ${percent(face.confidence)}`;

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

// "24 faces: 12 happiness, 8 neutral, 4 fear; 3 uncertain"
export function summary(faces, before = "") {
  if (!faces.length) return `${before}No face.`;
  const counts = count(faces).map(([label, number]) => `${number} ${word(label)}`);
  const uncertain = faces.filter((face) => face.uncertain).length;
  return `${before}${plural(faces.length, "face")}: ${counts.join(", ")}${uncertain ? `; ${uncertain} uncertain` : ""}.`;
}

// Emotions and their number, most first.
export function count(faces) {
  const numbers = new Map();
  for (const { emotion } of faces) numbers.set(emotion, (numbers.get(emotion) ?? 0) + 1);
  return [...numbers].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

export const REASONS = {
  tiny: "tiny: few pixels, so there is little to see",
  blurred: "blurred: little detail",
  turned: "turned aside",
  "cut off": "cut off by the photo's edge",
};

export const FORMATS = "JPEG, PNG, WebP, GIF, AVIF, BMP and TIFF";

const KINDS = {
  video: "This is a video, and this page reads photos. To read a video, run: mien video FILE",
  text: `This is a text file, not a photo. Photos are ${FORMATS} files.`,
  document: `This is a document, not a photo. Save its pictures as files: ${FORMATS}.`,
  empty: "The file is empty.",
};
// What a file that is no photo is, or nothing for a photo.
export const notPhoto = (kind) => KINDS[kind];

const HEIC = "This server and this browser do not read HEIC. Save the photo as JPEG; an iPhone does so with Settings, "
  + "Camera, Formats, Most Compatible.";

const PROBLEMS = {
  "no-token": "This server needs a token.",
  overloaded: "The server is busy.",
  "too-many-requests": "Too many photos in a short time for this server.",
  "body-too-large": "The photo is too large for this server, even after it was made smaller.",
  "body-too-slow": "Sending took too long. Try again, or take a smaller photo.",
  "foreign-origin": "The server refused this page, as it seems to be from another address. A proxy between may be the cause.",
  internal: "The server made a mistake.",
};

// The problem in words for people who look at the page; the server's own words are for programs.
export function explain(error, kind = "") {
  if (error.kind === "gone") return "The server cannot be reached.";
  if (error.kind === "unreadable-image") return kind === "heic" ? HEIC : `This photo could not be read. It may be damaged, or be none of ${FORMATS}.`;
  if (error.kind === "internal" && error.request) return `${PROBLEMS.internal} Its log has the request as ${error.request}.`;
  return PROBLEMS[error.kind] ?? `The server refused the photo: ${error.message}`;
}

// Whether the same photo may be read another time.
export const maybeLater = (error) => ["internal", "body-too-slow", "gone", "overloaded", "too-many-requests"].includes(error.kind);

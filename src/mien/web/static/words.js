// What the page says: percentages, counts, the names of classes, and errors in the page's own words.

let names = {}, language = "en";

export const languages = () => Object.keys(names);
export const languageNow = () => language;

export function useNames(table) { names = table; }
export function useLanguage(code) { language = code in names ? code : "en"; }

// Names of Mien's classes in the chosen language; names of other classes stay as they are.
export const word = (label) => names[language]?.[label] ?? label;

// The English name of one of Mien's classes in any language; other names stay as they are.
export const english = (name) => Object.values(names).flatMap(Object.entries).find((pair) => pair[1] === name)?.[0] ?? name;

// A probability is never exactly 0 or 1, and must not look like it.
export function percent(value) {
  const whole = Math.round(value * 100);
  if (whole >= 100) return "> 99%";
  return whole < 1 ? "< 1%" : `${whole}%`;
}

export const title = (face) => `${word(face.emotion)}${face.uncertain ? "?" : ""} ${percent(face.confidence)}`;

// A moment of a video, "1:02" or "1:02.5"
export function clock(seconds, digits = 0) {
  const tenths = Math.floor(seconds * 10 ** digits + 1e-6), whole = Math.floor(tenths / 10 ** digits);
  const rest = digits ? `.${String(tenths % 10 ** digits).padStart(digits, "0")}` : "";
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}${rest}`;
}

// A length of time, "5 minutes" or "90 s"
const lasting = (seconds) => (seconds >= 60 && seconds % 60 === 0 ? plural(seconds / 60, "minute") : `${Number(seconds.toFixed(1))} s`);
const megabytes = (bytes) => Number((bytes / 1e6).toPrecision(3));
const megapixels = megabytes;
const whole = (number) => number.toLocaleString("en");

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
  video: "This is a video whose name does not say so. Rename it to end in .mp4, .webm or as fits, and choose it again.",
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

export const OFF = "This server reads no videos. Its operator turns them on with: mien serve --videos 1";

// Limits of the server for a video, "up to 5 minutes and 200 MB"
export const videoLimits = ({ video_seconds: seconds, video_body: bytes }) => `up to ${lasting(seconds)} and ${megabytes(bytes)} MB`;

const VIDEO_PROBLEMS = {
  "no-videos": () => `This is a video. ${OFF}. On a command line, mien video FILE reads it.`,
  "unreadable-video": () => "This video could not be read. It may be damaged, or of a format that this server does not read.",
  "video-too-long": (limits) => `The video is too long. This server reads videos${limits ? ` ${videoLimits(limits)}` : " of limited length"}; cut it into parts.`,
  "body-too-large": (limits) => `The video is too large. This server${limits ? ` reads videos ${videoLimits(limits)}` : ""}, and a proxy in front of it may take less; make it shorter or smaller.`,
  "body-too-slow": () => "Sending took too long. Try again, or send a shorter video.",
  lost: () => "The server no longer has this video. It may have been restarted. Send the video again.",
  "too-many-requests": () => "Too many requests in a short time for this server.",
};

const FEWER = "Choose fewer frames per second under Model and options.";

// How far a video was read: ", and stopped at 0:12 of 1:30"
const stopped = ({ at, of }) => `, and stopped at ${clock(at, 1)}${of ? ` of ${clock(of, 1)}` : ""}`;

// Which limit a video exceeds, its value, what the video has, and what to do.
const EXCEEDED = {
  seconds: ({ most, given }) => `The video lasts ${lasting(given)}; this server reads up to ${lasting(most)}. Cut it into parts.`,
  bytes: ({ most, given }) => `The video has ${megabytes(given)} MB; this server takes up to ${megabytes(most)} MB. Make it shorter or smaller.`,
  frames: (over) => `The video has more than ${whole(over.most)} frames; this server takes no more${stopped(over)}. Cut it into parts.`,
  read_frames: (over) => `This server reads up to ${whole(over.most)} frames of a video${stopped(over)}. ${FEWER}`,
  result_bytes: (over) => `This server keeps results of up to ${megabytes(over.most)} MB${stopped(over)}. ${FEWER}`,
  pixels: ({ most, given }) => `The video's frames have ${megapixels(given)} megapixels; this server reads up to ${megapixels(most)}. Scale the video down.`,
};

// The problem in words for people who look at the page; the server's own words are for programs.
export function explain(error, kind = "", limits = null) {
  if (error.kind === "gone") return "The server cannot be reached.";
  if (error.exceeded?.limit in EXCEEDED) return EXCEEDED[error.exceeded.limit](error.exceeded);
  if (kind === "video" && error.kind in VIDEO_PROBLEMS) return VIDEO_PROBLEMS[error.kind](limits);
  if (error.kind === "unreadable-image") return kind === "heic" ? HEIC : `This photo could not be read. It may be damaged, or be none of ${FORMATS}.`;
  const text = PROBLEMS[error.kind] ?? `The server refused the ${kind === "video" ? "video" : "photo"}.`;
  return error.request && (error.kind === "internal" || !(error.kind in PROBLEMS)) ? `${text} Its log has the request as ${error.request}.` : text;
}

// Whether the same file may be read another time.
export const maybeLater = (error) => ["internal", "body-too-slow", "gone", "lost", "overloaded", "too-many-requests"].includes(error.kind);

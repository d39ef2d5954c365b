// Results as files: the API's JSON, the columns of `mien predict` and `mien video --format csv`, pictures, the webcam's record.

const BOX = ["left", "top", "width", "height"], ANGLES = ["yaw", "pitch", "roll"];

export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// The body of a response of /v1/predict.
export const json = (items) => new Blob([JSON.stringify({ results: items }, null, 2) + "\n"], { type: "application/json" });

export function csv(items) {
  const labels = labelsOf(items.flatMap((item) => item.faces ?? []));
  const head = ["source", "face", "left", "top", "width", "height", "score", "emotion", "confidence", "uncertain",
    "quality", ...ANGLES, ...labels.map((label) => `p_${label}`), "error"];
  return table([head, ...items.flatMap((item) => rows(item, labels))]);
}

function rows(item, labels) {
  const blank = Array(13 + labels.length).fill("");
  if (item.error) return [[item.source, ...blank, item.error]];
  if (!item.faces.length) return [[item.source, ...blank, ""]];
  return item.faces.map((face, index) => {
    const { left, top, width, height } = face.box;
    const values = labels.map((label) => face.probabilities[label] ?? "");
    return [item.source, index, left, top, width, height, face.score, face.emotion, face.confidence,
      face.uncertain ? "true" : "false", (face.quality?.reasons ?? []).join(";"), ...ANGLES.map((name) => face.pose?.[name]), ...values, ""];
  });
}

// One row for each person in each frame: seconds since the start, the person's number, smoothed probabilities.
export function record(moments) {
  const labels = labelsOf(moments);
  const head = ["seconds", "person", "left", "top", "width", "height", "emotion", "confidence", "uncertain", ...labels.map((label) => `p_${label}`)];
  return table([head, ...moments.map(({ seconds, id, box, emotion, confidence, uncertain, probabilities }) => [
    seconds.toFixed(3), id, box.left, box.top, box.width, box.height, emotion, confidence, uncertain ? "true" : "false",
    ...labels.map((label) => probabilities[label] ?? ""),
  ])]);
}

// The columns of `mien video --format csv`: a row for each person of each frame, or one for a frame without people.
export function frameTable(frames, labels) {
  const head = ["frame", "seconds", "frame_width", "frame_height", "person", "seen", ...BOX, "score", "emotion", "confidence",
    "uncertain", "size", "sharpness", "turn", "inside", "quality", ...ANGLES, ...labels.map((label) => `p_${label}`), ...labels.map((label) => `raw_${label}`)];
  return table([head, ...frames.flatMap(({ frame, seconds, width, height, people }) => {
    const rows = people.length ? people.map((person) => personCells(person, labels)) : [Array(head.length - 4).fill("")];
    return rows.map((cells) => [frame, seconds, width, height, ...cells]);
  })]);
}

function personCells({ id, seen, box, score, emotion, confidence, uncertain, quality, pose, probabilities, raw }, labels) {
  const measures = quality ? [quality.size, quality.sharpness, quality.turn, quality.inside, quality.reasons.join(";")] : Array(5).fill("");
  return [id, seen, ...BOX.map((name) => box[name]), score, emotion, confidence, uncertain, ...measures,
    ...ANGLES.map((name) => pose?.[name]), ...labels.map((label) => probabilities[label]), ...labels.map((label) => raw?.[label])];
}

// The lines of a response of /v1/video/ID/results.
export const jsonLines = (frames) => new Blob(frames.map((frame) => `${JSON.stringify(frame)}\n`), { type: "application/jsonl" });

const labelsOf = (faces) => [...new Set(faces.flatMap((face) => Object.keys(face.probabilities)))];

const table = (lines) => new Blob([lines.map((cells) => cells.map(cell).join(",") + "\n").join("")], { type: "text/csv" });

function cell(value) {
  const text = String(value ?? "");
  // A spreadsheet would run a name that begins like this as a formula.
  const plain = typeof value === "string" && /^[=+@\t\r-]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

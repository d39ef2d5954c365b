// Results as files: the API's JSON, the columns of `mien predict --format csv`, pictures.

export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const json = (results) => new Blob([JSON.stringify(results, null, 2) + "\n"], { type: "application/json" });

export function csv(results) {
  const labels = [...new Set(results.flatMap((one) => (one.faces ?? []).flatMap((face) => Object.keys(face.probabilities))))];
  const head = ["source", "face", "left", "top", "width", "height", "score", "emotion", "confidence", "uncertain",
    "quality", ...labels.map((label) => `p_${label}`), "error"];
  const lines = [head, ...results.flatMap((one) => rows(one, labels))];
  return new Blob([lines.map((cells) => cells.map(cell).join(",") + "\n").join("")], { type: "text/csv" });
}

function rows(one, labels) {
  const blank = Array(10 + labels.length).fill("");
  if (one.error) return [[one.source, ...blank, one.error]];
  if (!one.faces.length) return [[one.source, ...blank, ""]];
  return one.faces.map((face, place) => {
    const { left, top, width, height } = face.box;
    const values = labels.map((label) => face.probabilities[label] ?? "");
    return [one.source, place, left, top, width, height, face.score, face.emotion, face.confidence,
      face.uncertain ? "true" : "false", (face.quality?.reasons ?? []).join(";"), ...values, ""];
  });
}

function cell(value) {
  const text = String(value ?? "");
  // A spreadsheet would run a name that begins like this as a formula.
  const plain = typeof value === "string" && /^[=+@\t\r-]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

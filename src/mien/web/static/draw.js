// Boxes, labels and heat maps onto a canvas; the same look as mien.draw and mien.recognition.overlay.

// Okabe and Ito's palette, which people with any colour vision can tell apart; the words say it all the same.
export const COLOURS = {
  anger: "#d55e00", disgust: "#009e73", fear: "#cc79a7", happiness: "#f0e442", sadness: "#0072b2",
  surprise: "#e69f00", neutral: "#56b4e9",
};
const OTHER = "#c8c8c8";
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

export const colour = (emotion) => COLOURS[emotion] ?? OTHER;
export const percent = (value) => `${Math.round(value * 100)}%`;
export const title = (face) => `${face.emotion}${face.uncertain ? "?" : ""} ${percent(face.confidence)}`;

// Black or white, whichever contrasts more (WCAG relative luminance).
function ink(paper) {
  const [r, g, b] = [1, 3, 5].map((at) => (parseInt(paper.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

export function boxes(context, faces, { mirrored = false } = {}) {
  const { width, height } = context.canvas;
  const line = Math.max(1, Math.round(Math.sqrt(width * height) / 200));
  const placed = faces.map((face) => ({ face, left: mirrored ? width - face.box.left - face.box.width : face.box.left }));
  placed.reverse();
  for (const { face, left } of placed) frame(context, face, left, line);
  for (const { face, left } of placed) label(context, face, left);
}

function frame(context, face, left, line) {
  const own = colour(face.emotion);
  context.save();
  context.setLineDash(face.uncertain ? [5 * line, 4 * line] : []);
  // A hair line of the opposite brightness keeps the frame visible on a background of its own colour.
  for (const [style, thick] of [[ink(own), 2 * line + 1], [own, line]]) {
    context.strokeStyle = style;
    context.lineWidth = thick;
    context.strokeRect(left, face.box.top, Math.max(1, face.box.width), Math.max(1, face.box.height));
  }
  context.restore();
}

function label(context, face, left) {
  const { width, height } = context.canvas;
  const size = Math.max(9, Math.sqrt(width * height) / 32);
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const text = title(face), wide = context.measureText(text).width + size * 0.8, high = size * 1.4;
  const wanted = face.box.top >= high ? face.box.top - high : face.box.top;
  const x = Math.max(0, Math.min(left, width - wide)), y = Math.max(0, Math.min(wanted, height - high));
  context.fillStyle = colour(face.emotion);
  context.fillRect(x, y, wide, high);
  context.fillStyle = ink(colour(face.emotion));
  context.fillText(text, x + size * 0.4, y + high / 2);
}

// The picture in grey with the first map of each face on it, so that all colour is the maps'.
export function heat(context, picture, faces) {
  const { width, height } = context.canvas;
  context.save();
  context.filter = "grayscale(1)";
  context.drawImage(picture, 0, 0, width, height);
  context.filter = "none";
  context.imageSmoothingQuality = "high";
  for (const face of [...faces].reverse()) {
    const rows = face.maps[0].map, side = rows.length;
    const [[x0, y0], [x1, y1], [x2, y2]] = face.corners;
    context.setTransform((x1 - x0) / side, (y1 - y0) / side, (x2 - x0) / side, (y2 - y0) / side, x0, y0);
    context.drawImage(coloured(rows), 0, 0);
  }
  context.restore();
}

function coloured(rows) {
  const side = rows.length, canvas = new OffscreenCanvas(side, side), context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  const most = Math.max(0, ...rows.flat()) || 1;
  rows.flat().forEach((value, place) => {
    const strength = Math.max(0, value) / most, at = strength * (VIRIDIS.length - 1);
    const low = Math.min(VIRIDIS.length - 2, Math.floor(at)), part = at - low;
    for (let c = 0; c < 3; c++) image.data[place * 4 + c] = VIRIDIS[low][c] * (1 - part) + VIRIDIS[low + 1][c] * part;
    image.data[place * 4 + 3] = 255 * (0.35 + 0.35 * strength);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

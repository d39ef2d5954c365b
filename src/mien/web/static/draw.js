// Boxes, labels and heat maps onto a canvas; the same look as mien.drawing.draw and mien.interpret.overlay.

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

// From this many faces on, numbers stand for names: more names than that hide one another.
const CROWD = 12;

export function boxes(context, faces, { mirrored = false } = {}) {
  const { width, height } = context.canvas, extent = Math.sqrt(width * height);
  const placed = faces.map((face, place) => {
    const left = mirrored ? width - face.box.left - face.box.width : face.box.left;
    const side = Math.sqrt(Math.max(face.box.width, 1) * Math.max(face.box.height, 1));
    const number = `${face.id ?? place + 1}${face.uncertain ? "?" : ""}`;
    return {
      face, left, text: faces.length < CROWD ? title(face) : number,
      line: Math.max(1, Math.round(Math.min(extent / 200, side / 20))),
      size: Math.max(9, Math.min(extent / 32, side / 5)),
      corners: [left, face.box.top, left + face.box.width, face.box.top + face.box.height],
    };
  });
  for (const { face, left, line } of [...placed].reverse()) frame(context, face, left, line);
  const papers = [];
  // The best detection has the first choice of a free spot.
  for (const one of placed) {
    const others = [...papers, ...placed.filter((other) => other !== one).map(({ corners }) => corners)];
    papers.push(label(context, one, others));
  }
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

function label(context, { face, text, size, corners }, others) {
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const wide = context.measureText(text).width + size * 0.8, high = size * 1.4;
  const [x, y] = spot(corners, wide, high, context.canvas, others);
  context.fillStyle = colour(face.emotion);
  context.fillRect(x, y, wide, high);
  context.fillStyle = ink(colour(face.emotion));
  context.fillText(text, x + size * 0.4, y + high / 2);
  return [x, y, x + wide, y + high];
}

// Of the spots above the box, below it, inside it and beside it, the first of those that hide least.
function spot([left, top, right, bottom], wide, high, { width, height }, others) {
  const above = top >= high ? [[left, top - high], [right - wide, top - high]] : [[left, top]];
  const spots = [
    ...above, [left, bottom], [right - wide, bottom], [left, top], [left, bottom - high], [right, top], [left - wide, top],
  ].map(([x, y]) => [Math.max(0, Math.min(x, width - wide)), Math.max(0, Math.min(y, height - high))]);
  const hidden = spots.map(([x, y]) => others.reduce((sum, [x0, y0, x1, y1]) => sum
    + Math.max(0, Math.min(x + wide, x1) - Math.max(x, x0)) * Math.max(0, Math.min(y + high, y1) - Math.max(y, y0)), 0));
  return spots[hidden.indexOf(Math.min(...hidden))];
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

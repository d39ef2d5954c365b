// Boxes, labels and heat maps onto a canvas; the same look as mien.drawing.draw and mien.interpret.overlay.

import { colour, ink } from "./colours.js";
import { make } from "./dom.js";
import { title } from "./words.js";

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

// From this many faces on, numbers stand for names: more names than that hide one another.
const CROWD = 12;

export function boxes(context, faces, { mirrored = false } = {}) {
  const { width, height } = context.canvas, extent = Math.sqrt(width * height);
  const placed = faces.map((face, index) => {
    const left = mirrored ? width - face.box.left - face.box.width : face.box.left;
    const side = Math.sqrt(Math.max(face.box.width, 1) * Math.max(face.box.height, 1));
    const number = `${face.id ?? index + 1}${face.uncertain ? "?" : ""}`;
    return {
      face, left, text: faces.length < CROWD ? `${face.id ? `${face.id}: ` : ""}${title(face)}` : number,
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

// The square around a face, cut from the picture: a canvas of `size` pixels. margin: the part of the box around it.
export function cut({ picture, result }, face, size, margin) {
  const [side, left, top] = square(face.box, margin, result), canvas = make("canvas");
  canvas.width = canvas.height = size;
  const scale = picture.naturalWidth / result.width; // the photo may have been made smaller for the server
  canvas.getContext("2d").drawImage(picture, left * scale, top * scale, side * scale, side * scale, 0, 0, size, size);
  return canvas;
}

// Within the photo, if it is large enough: side, left and top.
export function square({ left, top, width, height }, margin, photo) {
  const face = Math.max(1, width, height);
  const side = Math.max(face, Math.min(face * (1 + 2 * margin), photo.width, photo.height));
  const start = (middle, room) => (side > room ? middle - side / 2 : Math.max(0, Math.min(room - side, middle - side / 2)));
  return [side, start(left + width / 2, photo.width), start(top + height / 2, photo.height)];
}

// The first map of a face over its cut-out, which turns grey, so that all colour is the map's.
// scale: pixels of the canvas for each of the photo; left, top: the cut-out's corner in the photo.
export function overlay(canvas, face, scale, left, top) {
  const context = canvas.getContext("2d"), rows = face.maps[0].map, side = rows.length;
  const [[x0, y0], [x1, y1], [x2, y2]] = face.corners.map(([x, y]) => [(x - left) * scale, (y - top) * scale]);
  context.save();
  context.globalCompositeOperation = "saturation";
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "source-over";
  context.imageSmoothingQuality = "high";
  context.setTransform((x1 - x0) / side, (y1 - y0) / side, (x2 - x0) / side, (y2 - y0) / side, x0, y0);
  context.drawImage(coloured(rows), 0, 0);
  context.restore();
}

function coloured(rows) {
  const side = rows.length, canvas = new OffscreenCanvas(side, side), context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  const most = Math.max(0, ...rows.flat()) || 1;
  rows.flat().forEach((value, index) => {
    const strength = Math.max(0, value) / most, at = strength * (VIRIDIS.length - 1);
    const low = Math.min(VIRIDIS.length - 2, Math.floor(at)), part = at - low;
    for (let c = 0; c < 3; c++) image.data[index * 4 + c] = VIRIDIS[low][c] * (1 - part) + VIRIDIS[low + 1][c] * part;
    image.data[index * 4 + 3] = 255 * (0.35 + 0.35 * strength);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

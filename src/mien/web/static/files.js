// What a dropped file is, and photos made small enough for the server.

const FORM = 4096; // bytes of a request beside the photo
const TEXT = /^(text\/|application\/(json|xml|javascript))/;
const HEIC = /^(heic|heix|heim|heis|hevc|hevx|mif1|msf1)$/;

// By its name and type alone; the server looks into it.
export const isVideo = ({ type, name }) => type.startsWith("video/") || /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ogv|flv|wmv)$/i.test(name);

// "photo", "heic", "video", "text", "document", "empty" or "unknown", by the first bytes.
export async function kindOf(file) {
  const bytes = new Uint8Array(await file.slice(0, 64).arrayBuffer());
  if (!bytes.length) return "empty";
  const start = String.fromCharCode(...bytes);
  if (start.slice(4, 8) === "ftyp") return ofBrand(start.slice(8, 12));
  if (start.startsWith("\x1aE\xdf\xa3") || (start.startsWith("RIFF") && start.slice(8, 12) === "AVI ")) return "video";
  if (/^(%PDF|PK\x03\x04|\xd0\xcf\x11\xe0)/.test(start)) return "document";
  if (/^(\xff\xd8|\x89PNG|GIF8|BM|II|MM|RIFF|P[1-7]\s)/.test(start)) return "photo";
  if (file.type.startsWith("video/")) return "video";
  return TEXT.test(file.type) || /^[\t\n\r\x20-\x7e\x80-\xff]*$/.test(start) ? "text" : "unknown";
}

function ofBrand(brand) {
  if (HEIC.test(brand)) return "heic";
  return /^avi[fs]$/.test(brand) ? "photo" : "video";
}

// The picture of a file as the browser shows it, upright; null for a format that it does not show.
export async function open(url) {
  const picture = new Image();
  picture.src = url;
  try {
    await picture.decode();
    return picture;
  } catch (error) {
    if (error.name !== "EncodingError") throw error;
    return null;
  }
}

// The file itself, or a JPEG of its picture within the limits; null if the browser cannot make one.
export async function fit(file, picture, limits) {
  const pixels = picture ? picture.naturalWidth * picture.naturalHeight : 0;
  if (!limits || (file.size <= limits.max_body - FORM && pixels <= limits.max_pixels)) return { file };
  if (!picture) return null;
  for (let scale = Math.min(1, Math.sqrt(limits.max_pixels / pixels)); scale > 0.02; scale *= 0.8) {
    const smaller = await toJpeg(file, picture, scale);
    if (smaller?.size <= limits.max_body - FORM) return { file: smaller, scale };
  }
  return null;
}

// The picture as a JPEG file; null where it is too large for the browser's canvas.
export async function toJpeg(file, picture, scale = 1) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(picture.naturalWidth * scale));
  canvas.height = Math.max(1, Math.floor(picture.naturalHeight * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  return blob && new File([blob], file.name || "photo.jpg", { type: "image/jpeg" });
}

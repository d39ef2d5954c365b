// Requests to the server. Addresses are relative, so that the page also works below a path of a proxy.

let token = "";
const options = {};

export const setToken = (text) => { token = text; };

// Model and detector of all further requests; an empty one is the server's default.
export const setOption = (name, value) => { options[name] = value; };

export class Problem extends Error {
  // kind: the last word of the problem document's type; "gone" without a server, "cancelled" after an abort.
  constructor(kind, message, { wait = 0, request = "", exceeded = null } = {}) {
    super(message);
    Object.assign(this, { kind, wait, request, exceeded });
  }
}

export const offer = () => send("v1/models", {});

export const predict = (file, { signal, progress } = {}) => send(`v1/predict${query()}`, { body: form(file), signal, progress });

// The map of the face at an index of a result, by the model and detector that gave the result.
export const explain = (file, face, { model, detector }, signal) => (
  send(`v1/explain${query({ classes: "top1", face, model, detector })}`, { body: form(file), signal }));

// A video becomes a job of the server, known by its id.
export const sendVideo = (file, fps, { signal, progress }) => send(`v1/video${query({ fps })}`, { body: file, type: videoType(file), signal, progress });
export const showVideo = (id) => send(`v1/video/${id}`, {});
export const videoResults = (id) => send(`v1/video/${id}/results`, { read: (text) => text.split("\n").filter(Boolean).map((line) => JSON.parse(line)) });
export const deleteVideo = (id) => send(`v1/video/${id}`, { method: "DELETE", read: () => null });

// The same while the page is being closed, where only fetch outlives it; nobody hears the response.
export const leaveVideo = (id) => fetch(`v1/video/${id}`, { method: "DELETE", keepalive: true, headers: token ? { Authorization: `Bearer ${token}` } : {} }).catch(() => null);

const videoType = ({ type }) => (type.startsWith("video/") ? type : "application/octet-stream");

function query(more = {}) {
  const pairs = Object.entries({ ...options, ...more }).filter(([, value]) => value !== undefined && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

// XMLHttpRequest, as fetch does not tell how much of a body was sent.
function send(address, { body, type, method = body ? "POST" : "GET", read = JSON.parse, signal, progress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, address);
    request.responseType = "text";
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    if (type) request.setRequestHeader("Content-Type", type);
    request.onload = () => (request.status < 300 ? resolve(read(request.responseText)) : reject(problem(request)));
    request.onerror = () => reject(new Problem("gone", "The server cannot be reached."));
    request.onabort = () => reject(new Problem("cancelled", "Cancelled."));
    if (progress) request.upload.onprogress = ({ loaded, total }) => progress(loaded / total);
    if (signal?.aborted) return reject(new Problem("cancelled", "Cancelled."));
    signal?.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

function form(file) {
  const body = new FormData();
  body.append("images", file, file.name || "photo");
  return body;
}

function problem(request) {
  let document = {};
  try {
    document = JSON.parse(request.responseText);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error; // a proxy's page in place of a problem document
  }
  const kind = document.type?.replace(/^.*:/, "") ?? KIND_OF[request.status] ?? "other";
  const wait = Number(request.getResponseHeader("Retry-After")) || 1;
  return new Problem(kind, document.detail ?? `status ${request.status}`, { wait, request: document.request_id ?? "", exceeded: document.exceeded });
}

// What a proxy in front of the server answers without a problem document.
const KIND_OF = { 401: "no-token", 413: "body-too-large", 429: "too-many-requests", 502: "gone", 503: "overloaded", 504: "gone" };

export function stream() {
  const address = new URL(`v1/stream${query()}`, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  // A WebSocket of a page cannot have headers; the token travels as a word beside the protocol's name.
  const socket = new WebSocket(address, ["mien.v1", ...(token ? [`bearer.${token}`] : [])]);
  socket.binaryType = "arraybuffer";
  return socket;
}

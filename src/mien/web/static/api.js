// What goes to the server and comes back. Addresses are relative, so that the page also works below a path of a proxy.

let token = "";

export const setToken = (word) => { token = word; };

export class Refused extends Error {
  constructor(problem, status, wait) {
    super(problem.detail ?? `The server answered ${status}.`);
    this.status = status;
    this.wait = wait;
  }
}

export const offer = () => call("v1/models");
export const predict = (file) => call("v1/predict", file);
export const explain = (file) => call("v1/explain?classes=top1", file);

async function call(address, file) {
  for (let tries = 1; ; tries++) {
    try {
      return await once(address, file);
    } catch (error) {
      if (error.status !== 503 || tries === 6) throw error;
      await new Promise((done) => setTimeout(done, 1000 * Math.min(10, error.wait || 1)));
    }
  }
}

async function once(address, file) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const body = file && new FormData();
  body?.append("images", file, file.name || "photo");
  let answer;
  try {
    answer = await fetch(address, file ? { method: "POST", headers, body } : { headers });
  } catch {
    throw new Refused({ detail: "The server cannot be reached. Check that it runs, then try again." }, 0);
  }
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(problem, answer.status, Number(answer.headers.get("Retry-After")));
}

export function stream() {
  const address = new URL("v1/stream", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  // A WebSocket of a page cannot have headers; the token travels as a word beside the protocol's name.
  const socket = new WebSocket(address, ["mien.v1", ...(token ? [`bearer.${token}`] : [])]);
  socket.binaryType = "arraybuffer";
  return socket;
}

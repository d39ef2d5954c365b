// The loop in which a Node peer is asked; the same lines as worker.py.
// node worker.cjs ENVIRONMENT peer_human.cjs [--photo FILE | --imports]
'use strict';
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const { createRequire } = require('module');

const [environment, file, ...words] = process.argv.slice(2);
const fromPeer = createRequire(path.join(path.resolve(environment), 'package.json'));
console.log = console.error; // libraries print what they like; the lines on stdout stay clean

// Uint8 (N, 48, 48) of an .npy file.
function readCrops(name) {
  const content = fs.readFileSync(name);
  const start = 10 + content.readUInt16LE(8);
  const shape = content.toString('latin1', 10, start).match(/'shape': \((\d+), (\d+), (\d+)\)/).slice(1).map(Number);
  const size = shape[1] * shape[2];
  return Array.from({ length: shape[0] }, (_, at) => content.subarray(start + at * size, start + (at + 1) * size));
}

// {width, height, data: Uint8Array RGB} of a JPEG or PNG file.
function readPhoto(name) {
  const content = fs.readFileSync(name);
  if (!/\.png$/i.test(name)) {
    return fromPeer('jpeg-js').decode(content, { useTArray: true, formatAsRGBA: false });
  }
  const picture = fromPeer('pngjs').PNG.sync.read(content);
  const data = new Uint8Array(picture.width * picture.height * 3);
  for (let at = 0; at < data.length / 3; at += 1) data.set(picture.data.subarray(at * 4, at * 4 + 3), at * 3);
  return { width: picture.width, height: picture.height, data };
}

async function median(calls, budget) {
  await calls[0]();
  const taken = [];
  let total = 0;
  while (!taken.length || total < budget) {
    const begun = process.hrtime.bigint();
    await calls[taken.length % calls.length]();
    taken.push(Number(process.hrtime.bigint() - begun) / 1e9);
    total += taken[taken.length - 1];
  }
  taken.sort((a, b) => a - b);
  return taken[Math.floor(taken.length / 2)];
}

const batchesOf = (given, size) => {
  const faces = Array(Math.ceil(size / given.length)).fill(given).flat(); // again from the first where there are too few
  const starts = Array.from({ length: Math.max(1, Math.floor(faces.length / size)) }, (_, at) => at * size);
  return starts.map((start) => faces.slice(start, start + size));
};

async function answerLines(peer) {
  let reader;
  let faces = [];
  const answers = {
    imports: async () => ({ version: peer.imports() }),
    load: async () => {
      reader = await peer.load();
      return { classes: peer.classes };
    },
    crops: async (asked) => {
      faces = readCrops(asked.file);
      const rows = [];
      for (let start = 0; start < faces.length; start += 64) rows.push(...(await reader.crops(faces.slice(start, start + 64))));
      return { rows };
    },
    photos: async (asked) => {
      const rows = [];
      for (const name of asked.paths) rows.push(await reader.photo(name));
      return { rows };
    },
    time: async (asked) => {
      const calls = batchesOf(faces, asked.batch).map((batch) => () => reader.crops(batch));
      return { seconds: await median(calls, asked.seconds) };
    },
    time_photos: async (asked) => ({
      seconds: await median(asked.paths.map((name) => () => reader.photo(name)), asked.seconds),
    }),
    memory: async () => {
      const status = '/proc/self/status';
      if (!fs.existsSync(status)) return { bytes: null };
      return { bytes: Number(fs.readFileSync(status, 'utf8').match(/VmHWM:\s+(\d+)/)[1]) * 1024 };
    },
  };
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    let found;
    try {
      found = await answers[asked.do](asked);
    } catch (error) {
      found = { error: String(error) };
    }
    process.stdout.write(`${JSON.stringify(found)}\n`);
  }
  process.exit(0);
}

async function main() {
  const peer = require(path.join(__dirname, file))({ environment: path.resolve(environment), fromPeer, readPhoto });
  if (words[0] === '--imports') peer.imports();
  else if (words[0] === '--photo') {
    peer.imports();
    process.stdout.write(`${JSON.stringify(await (await peer.load()).photo(words[1]))}\n`);
  } else await answerLines(peer);
  process.exit(0);
}

main();

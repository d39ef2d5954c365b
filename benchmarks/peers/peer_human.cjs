// human.js (@vladmandic/human) on WebAssembly, with nothing but faces and emotions switched on.
'use strict';
const fs = require('fs');
const path = require('path');
const { fileURLToPath } = require('url');

module.exports = ({ environment, fromPeer, readPhoto }) => {
  const modules = path.join(environment, 'node_modules');
  const classes = ['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'];
  const library = () => {
    fromPeer('@tensorflow/tfjs-backend-wasm');
    return fromPeer(path.join(modules, '@vladmandic/human/dist/human.node-wasm.js'));
  };
  const imports = () => {
    library();
    return fromPeer(path.join(modules, '@vladmandic/human/package.json')).version;
  };
  const config = () => {
    const off = { enabled: false };
    return {
      backend: 'wasm',
      wasmPath: path.join(modules, '@tensorflow/tfjs-backend-wasm/dist/'),
      modelBasePath: `file://${modules}/@vladmandic/human/models/`,
      debug: false,
      cacheSensitivity: 0, // each photo is a new one, not a frame of the same film
      filter: off,
      face: { enabled: true, emotion: { enabled: true, minConfidence: 0 }, iris: off, description: off },
      body: off, hand: off, object: off, gesture: off,
    };
  };
  const load = async () => {
    const { Human } = library();
    // Node's fetch does not read file: addresses, which human.js has its models behind.
    const fetched = globalThis.fetch;
    globalThis.fetch = async (address, ...rest) =>
      String(address).startsWith('file:') ? new Response(fs.readFileSync(fileURLToPath(address))) : fetched(address, ...rest);
    const human = new Human(config());
    await human.load();
    const { tf } = human;
    const photo = async (name) => {
      const { width, height, data } = readPhoto(name);
      const picture = tf.tensor(data, [1, height, width, 3], 'int32');
      const { face, error } = await human.detect(picture);
      picture.dispose();
      if (error) throw new Error(error);
      if (!face.length) return null;
      const largest = face.reduce((best, each) => (each.box[2] * each.box[3] > best.box[2] * best.box[3] ? each : best));
      return classes.map((word) => (largest.emotion.find((each) => each.emotion === word) || { score: 0 }).score);
    };
    // The network by itself, with the steps that human.js puts before it: 64×64, grey from 0 to 1, then (x - 0.5) × 2.
    const network = human.models.models.emotion;
    const [, side] = network.inputs[0].shape;
    const crops = async (faces) => {
      const answer = tf.tidy(() => {
        const batch = tf.cast(tf.tensor(Buffer.concat(faces), [faces.length, 48, 48, 1], 'int32'), 'float32');
        const scaled = tf.div(tf.image.resizeBilinear(batch, [side, side]), 255);
        return network.execute(tf.mul(tf.sub(scaled, 0.5), 2));
      });
      const scores = await answer.data();
      answer.dispose();
      const count = classes.length;
      return faces.map((_, at) => Array.from(scores.slice(at * count, (at + 1) * count)));
    };
    return { photo, crops };
  };
  return { classes, imports, load };
};

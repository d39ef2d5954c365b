// face-api.js (@vladmandic/face-api) on WebAssembly.
'use strict';
const path = require('path');

module.exports = ({ environment, fromPeer, readPhoto }) => {
  const modules = path.join(environment, 'node_modules');
  const classes = ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'];
  const row = (expressions) => classes.map((word) => expressions[word]);
  const imports = () => {
    fromPeer('@tensorflow/tfjs');
    fromPeer('@tensorflow/tfjs-backend-wasm');
    fromPeer('@vladmandic/face-api/dist/face-api.node-wasm.js');
    return fromPeer('@vladmandic/face-api/package.json').version;
  };
  const load = async () => {
    const tf = fromPeer('@tensorflow/tfjs');
    const faceapi = fromPeer('@vladmandic/face-api/dist/face-api.node-wasm.js');
    fromPeer('@tensorflow/tfjs-backend-wasm').setWasmPaths(path.join(modules, '@tensorflow/tfjs-backend-wasm/dist/'));
    await tf.setBackend('wasm');
    await tf.ready();
    const models = path.join(modules, '@vladmandic/face-api/model');
    await faceapi.nets.ssdMobilenetv1.loadFromDisk(models);
    await faceapi.nets.faceExpressionNet.loadFromDisk(models);
    const photo = async (name) => {
      const { width, height, data } = readPhoto(name);
      const picture = tf.tensor3d(data, [height, width, 3], 'int32');
      const found = await faceapi.detectAllFaces(picture, new faceapi.SsdMobilenetv1Options()).withFaceExpressions();
      picture.dispose();
      if (!found.length) return null;
      const area = ({ detection }) => detection.box.width * detection.box.height;
      return row(found.reduce((best, each) => (area(each) > area(best) ? each : best)).expressions);
    };
    const crops = async (faces) => {
      const pictures = faces.map((face) => tf.tidy(() => tf.tensor3d(face, [48, 48, 1], 'int32').tile([1, 1, 3])));
      const found = await faceapi.nets.faceExpressionNet.predictExpressions(pictures);
      tf.dispose(pictures);
      return (Array.isArray(found) ? found : [found]).map(row);
    };
    return { photo, crops };
  };
  return { classes, imports, load };
};

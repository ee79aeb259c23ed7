// Runs the model beside the page, so that the page stays responsive. One thread: more would need special HTTP headers.

import * as ort from "./ort/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("ort/ort-wasm-simd-threaded.wasm", import.meta.url).href };

let session;

// Browsers offer digests over https and on this computer only; elsewhere the model is not checked.
async function load(digest) {
  const response = await fetch(new URL("model.onnx", import.meta.url));
  if (!response.ok) throw new Error(`model.onnx: ${response.status} ${response.statusText}`);
  const content = await response.arrayBuffer();
  if (crypto.subtle) {
    const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
    if ([...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") !== digest) {
      throw new Error("model.onnx is damaged, or of another page. Reload without the browser's cache, or export it again.");
    }
  }
  return ort.InferenceSession.create(content);
}

// The first message is {id: 0, digest}: the SHA-256 digest of the model; its answer {id: 0} says that the model is
// loaded. The others are {id, pixels: Float32Array, width, height}, and their answers {id, box, score, heatmap,
// milliseconds}. In place of either answer, there may be {id, error}.
onmessage = async ({ data: { id, digest, pixels, width, height } }) => {
  try {
    const model = await (session ??= load(digest));
    if (!pixels) {
      postMessage({ id });
      return;
    }
    const start = performance.now();
    const images = new ort.Tensor("float32", pixels, [1, 1, height, width]);
    const { boxes, scores, heatmap } = await model.run({ images });
    const [score] = scores.data;
    if (!Number.isFinite(score) || !boxes.data.every(Number.isFinite)) {
      throw new Error("the network's output is not finite");
    }
    postMessage({ id, box: [...boxes.data], score, heatmap: heatmap.data, milliseconds: performance.now() - start });
  } catch (error) {
    postMessage({ id, error: String(error?.message ?? error) });
  }
};

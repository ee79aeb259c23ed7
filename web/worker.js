// Runs the model beside the page, so that the page stays responsive. One thread: more would need special HTTP headers.

import * as ort from "./ort/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("ort/ort-wasm-simd-threaded.wasm", import.meta.url).href };

const session = ort.InferenceSession.create(new URL("model.onnx", import.meta.url).href);

// A message is {id, pixels: Float32Array, width, height}; the answer {id, box, score, heatmap, milliseconds} or
// {id, error}. Message 0 has no pixels: its answer says that the model is loaded.
onmessage = async ({ data: { id, pixels, width, height } }) => {
  try {
    const model = await session;
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

// The photograph never leaves the browser: onnxruntime-web runs the model in WebAssembly.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more need cross-origin isolation

export function load(model) {
  return ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
}

// blob: an image file. Returns { mask: Uint8Array of H * W values, 0 or 255, width, height }.
export async function segment(session, blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) rgb[3 * pixel + channel] = rgba[4 * pixel + channel];
  }
  const image = new ort.Tensor("uint8", rgb, [1, height, width, 3]);
  const { mask } = await session.run({ image }, ["mask"]);
  return { mask: mask.data, width, height };
}

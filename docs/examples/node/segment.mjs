// node segment.mjs lesion.onnx photo.jpg mask.png   (npm install onnxruntime-node sharp)
import ort from "onnxruntime-node";
import sharp from "sharp";

const [model, photo, out] = process.argv.slice(2);
const { data, info } = await sharp(photo).toColourspace("srgb").removeAlpha().raw().toBuffer({ resolveWithObject: true });
const { height, width } = info;
const image = new ort.Tensor("uint8", new Uint8Array(data), [1, height, width, 3]);
const session = await ort.InferenceSession.create(model);
const { mask } = await session.run({ image }, ["mask"]); // uint8 (1, H, W), 0 or 255
await sharp(mask.data, { raw: { width, height, channels: 1 } }).toColourspace("b-w").png().toFile(out);

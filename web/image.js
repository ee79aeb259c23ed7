// From an image file to grey pixels, as the Python library reads it: 0.299 R + 0.587 G + 0.114 B, rounded.
// Errors are sentences for the user.

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const GREY = [0.299, 0.587, 0.114].map(Math.fround); // R, G, B

/** Reads a file (Blob). Returns {width, height, grey: Uint8Array}; throws an Error with a sentence. */
export async function readImage(file, { minSide, maxPixels }) {
  checkHeader(new Uint8Array(await file.arrayBuffer()));
  let bitmap;
  try {
    // Neither colour profiles nor alpha may change the pixels.
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Error("This image is damaged, or of a kind that this browser cannot read.");
  }
  const { width, height } = bitmap;
  if (Math.min(width, height) < minSide) {
    throw new Error(`An image must be at least ${minSide} px a side; this one is ${width} × ${height} px. Pad it.`);
  }
  if (width * height > maxPixels) {
    throw new Error(
      `This page takes at most ${(maxPixels / 1e6).toFixed(1)} megapixels; this image has ${width} × ${height} px. ` +
        "Crop it, or use centerdet predict.",
    );
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return { width, height, grey: toGrey(context.getImageData(0, 0, width, height).data) };
}

/** Refuses what a browser would decode in another way than the Python library: it keeps 8 bits of 16, for example. */
function checkHeader(bytes) {
  const isPng = PNG.every((value, index) => bytes[index] === value);
  const isJpeg = bytes[0] === 0xff && bytes[1] === 0xd8;
  const isBmp = bytes[0] === 0x42 && bytes[1] === 0x4d;
  if (!isPng && !isJpeg && !isBmp) {
    throw new Error("This page reads PNG, JPEG and BMP images; for TIFF and NPY, use centerdet predict.");
  }
  if (isPng && bytes[24] === 16) {
    throw new Error("This PNG has 16 bits a channel, and a browser keeps only 8. Use centerdet predict for it.");
  }
  if (isPng && hasChunk(bytes, "acTL")) {
    throw new Error("This PNG is an animation. Save one of its frames.");
  }
}

/** Whether a PNG has a chunk of a type before its pixels. */
function hasChunk(bytes, type) {
  const view = new DataView(bytes.buffer);
  for (let place = PNG.length; place + 12 <= bytes.length; place += view.getUint32(place) + 12) {
    const name = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    if (name === type) return true;
    if (name === "IDAT") return false;
  }
  return false;
}

function toGrey(rgba) {
  const grey = new Uint8Array(rgba.length / 4);
  for (let pixel = 0; pixel < grey.length; pixel++) {
    const [red, green, blue, alpha] = rgba.subarray(4 * pixel, 4 * pixel + 4);
    if (alpha < 255) {
      throw new Error("This image has transparent pixels, which a browser cannot read exactly. Save it without them.");
    }
    grey[pixel] = red === green && green === blue ? red : Math.round(GREY[0] * red + GREY[1] * green + GREY[2] * blue);
  }
  return grey;
}

/** Scales grey pixels to [0, 1] in single precision; range: the values that become 0 and 1. */
export function toUnitRange(grey, [low, high]) {
  const step = Math.fround(high - low);
  return Float32Array.from(grey, (value) =>
    Math.min(1, Math.max(0, Math.fround(value - Math.fround(low)) / step)),
  );
}

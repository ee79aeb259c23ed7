// The noise level of an image, as centerdet/noise_level.py measures it; the constants are those of that file.

const DEFAULT_LEVEL = 0.8;
const BINS = 4096;
const PIXELS_PER_BIN = 10;
const SNAP = 0.0007;
const WINDOW_COUNT = 100;
const EDGE_COUNT = 3;
const EDGE_FRACTION = 0.08;
const CHUNKS = 16;
const MAX_UNEVENNESS = 0.15;
const MIN_BACKGROUND = 0.6;
const MIN_LEVEL = 0.1;

/** Moves pixels (Float32Array in [0, 1]) to the noise level of the network; they stay as they are without a level. */
export function toTrainedLevel(pixels, { noise_level: level, trained_noise_level: trained }) {
  if (level === null || trained === null) return pixels;
  const measured = Math.fround(level === "auto" ? (measureLevel(pixels) ?? trained) : level);
  if (measured === Math.fround(trained)) return pixels;
  const factor = Math.fround(Math.fround(trained) / measured);
  return pixels.map((value) => (value > measured ? 2 * trained : Math.min(value * factor, Math.fround(trained))));
}

function measureLevel(pixels) {
  const isGrey = hasGreyLevels(pixels);
  const bins = isGrey ? 255 : Math.min(BINS, Math.max(64, Math.floor(pixels.length / PIXELS_PER_BIN)));
  const counts = new Array(isGrey ? 256 : bins).fill(0);
  for (const value of pixels) {
    counts[isGrey ? Math.floor(value * 255 + 0.5) : Math.min(bins - 1, Math.floor(Math.fround(value * bins)))] += 1;
  }
  const edge = lastDenseBin(counts);
  if (edge === null || !isUniform(counts, edge, pixels.length)) return null;
  const level = Math.min(1, (isGrey ? edge : edge + 1) / bins);
  if (Math.abs(level - DEFAULT_LEVEL) <= Math.max(SNAP, isGrey ? 0.5 / 255 : 0)) return DEFAULT_LEVEL;
  return level >= MIN_LEVEL ? level : null;
}

function hasGreyLevels(pixels) {
  const stride = Math.max(1, Math.floor(pixels.length / 512));
  for (let index = 0; index < pixels.length; index += stride) {
    const value = pixels[index] * 255;
    if (Math.abs(value - Math.round(value)) >= 1e-3) return false;
  }
  return true;
}

function lastDenseBin(counts) {
  const density = median(counts.slice(0, Math.floor(counts.length / 4)));
  if (density < 1) return null;
  const width = Math.max(1, roundHalfToEven(WINDOW_COUNT / density));
  let [window, dense] = [0, -1];
  for (let index = 1; index < counts.length; index += 1) {
    window += counts[index];
    if (index > width) window -= counts[index - width];
    if (index >= width && window > 0.5 * density * width) dense = index - width;
  }
  if (dense < 0) return null;
  let edge = dense + 1;
  const least = Math.max(EDGE_COUNT, EDGE_FRACTION * density);
  const reaches = (index, count) => index < counts.length && counts[index] >= count;
  if (width === 1) return edge + Number(reaches(edge + 1, least));
  edge += Math.floor(width / 4);
  while (reaches(edge + 1, least) || reaches(edge + 2, least)) edge += 1;
  return edge + Number(reaches(edge + 1, 1));
}

function isUniform(counts, edge, size) {
  if (edge < CHUNKS || sum(counts.slice(0, edge)) < MIN_BACKGROUND * size) return false;
  const inside = counts.slice(1, edge);
  const starts = Array.from({ length: CHUNKS + 1 }, (_, chunk) => Math.floor((chunk * inside.length) / CHUNKS));
  const densities = starts.slice(1).map((end, chunk) => sum(inside.slice(starts[chunk], end)) / (end - starts[chunk]));
  const mean = sum(densities) / CHUNKS;
  return densities.every((density) => Math.abs(density / mean - 1) <= MAX_UNEVENNESS);
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function roundHalfToEven(value) {
  const rounded = Math.round(value);
  return value % 1 === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}

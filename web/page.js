// The page: choose an image, run the model in the worker, show the box above the threshold.

import { drawBox, drawImage } from "./drawing.js";
import { readImage, toUnitRange } from "./image.js";
import { toTrainedLevel } from "./noise.js";

const find = (id) => document.getElementById(id);
const settings = await (await fetch("model.json")).json();
const worker = new Worker("worker.js", { type: "module" });
const waiting = new Map(); // answers of the worker that are still to come, by number
let last = null; // the image on the screen and its result
let chosen = 0; // number of the image that was chosen last; answers for older ones are dropped

function ask(message, transfer = []) {
  return new Promise((resolve, reject) => {
    waiting.set(message.id, { resolve, reject });
    worker.postMessage(message, transfer);
  });
}

worker.onmessage = ({ data }) => {
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.error) reject(new Error(`The model cannot run: ${data.error}`));
  else resolve(data);
};
worker.onerror = () => say("The model's program cannot be loaded. Open this page over http, not as a file.", true);

function say(text, isError = false) {
  find("message").textContent = text;
  find("message").classList.toggle("error", isError);
}

function clear() {
  last = null;
  find("picture").hidden = find("numbers").hidden = true;
}

async function detect(file) {
  const id = ++chosen;
  try {
    const image = await readImage(file, settings);
    if (id !== chosen) return;
    say("Running …");
    const { width, height } = image;
    const pixels = toTrainedLevel(toUnitRange(image.grey, settings.intensity_range ?? [0, 255]), settings);
    const result = await ask({ id, pixels, width, height }, [pixels.buffer]);
    if (id !== chosen) return;
    last = { image, ...result };
    show();
  } catch (error) {
    if (id !== chosen) return;
    clear();
    say(error.message, true);
  }
}

function show() {
  const threshold = Number(find("threshold").value);
  find("threshold-value").textContent = threshold.toFixed(3);
  if (!last) return;
  const { image, box, score, heatmap, milliseconds } = last;
  const isFound = score >= threshold;
  find("picture").hidden = false;
  drawImage(find("image"), image, find("heatmap").checked ? heatmap : null);
  drawBox(find("box"), image, isFound ? box : null, settings.has_heading);
  const time = `${image.width} × ${image.height} px, ${Math.round(milliseconds)} ms`;
  const scores = `score ${score.toFixed(3)}, threshold ${threshold.toFixed(3)}`;
  say(isFound ? `Object found (${time}).` : `Nothing found: ${scores} (${time}).`);
  find("numbers").hidden = !isFound;
  if (isFound) showNumbers(score, box);
}

function showNumbers(score, [x, y, yaw, width, height]) {
  for (const [id, value] of Object.entries({ score, x, y, yaw, width, height })) {
    find(id).value = value;
    find(id).textContent = id === "yaw" ? ((value * 180) / Math.PI).toFixed(1) : value.toFixed(id === "score" ? 3 : 2);
  }
}

function addExample(name, number) {
  const button = document.createElement("button");
  const picture = document.createElement("img");
  picture.src = name;
  picture.alt = "";
  button.append(picture, `Example ${number + 1}`);
  button.onclick = async () => detect(await (await fetch(name)).blob());
  find("examples").append(button);
}

function listen() {
  settings.examples.forEach(addExample);
  find("direction").textContent = settings.has_heading ? "Heading (yaw)" : "Axis (yaw)";
  find("threshold").value = settings.threshold;
  find("threshold").disabled = false;
  find("threshold").oninput = find("heatmap").onchange = show;
  find("file").onchange = ({ target }) => target.files.length && detect(target.files[0]);
  // The whole page takes drops: a file that misses the frame must not replace the page.
  document.ondragover = (event) => {
    event.preventDefault();
    find("drop").classList.add("over");
  };
  document.ondragleave = () => find("drop").classList.remove("over");
  document.ondrop = (event) => {
    event.preventDefault();
    find("drop").classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) detect(file);
  };
}

listen();
show();
try {
  await ask({ id: 0, digest: settings.digest });
  if (!chosen) say("Ready: choose an image.");
} catch (error) {
  say(error.message, true);
}

// Drawing of the image with its heatmap, and of the box on it.

const GREY_LEVEL = 0.75; // brightness of a white pixel: the box stays visible on it
const OPACITY = 0.8; // of a heatmap value of 1
const RED = [255, 26, 64];

/** Draws grey pixels, and red where the heatmap (Float32Array or null) is high. */
export function drawImage(canvas, { width, height, grey }, heatmap) {
  canvas.width = width;
  canvas.height = height;
  const picture = new ImageData(width, height);
  for (let pixel = 0; pixel < grey.length; pixel++) {
    const opacity = heatmap ? OPACITY * heatmap[pixel] : 0;
    for (let channel = 0; channel < 3; channel++) {
      picture.data[4 * pixel + channel] = GREY_LEVEL * grey[pixel] * (1 - opacity) + RED[channel] * opacity;
    }
    picture.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** Draws a box [x, y, yaw, width, height] as SVG, or removes it (null). An integer is a pixel's centre. */
export function drawBox(svg, { width, height }, box, hasHeading) {
  svg.replaceChildren();
  svg.setAttribute("viewBox", `-0.5 -0.5 ${width} ${height}`);
  if (!box) return;
  const [x, y, yaw, across, along] = box;
  const toImage = (u, v) => [x + u * Math.cos(yaw) + v * Math.sin(yaw), y - u * Math.sin(yaw) + v * Math.cos(yaw)];
  const corners = [[-0.5, 0.5], [0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]].map(([u, v]) => toImage(u * across, v * along));
  const nose = toImage(0, along / 2);
  const line = [hasHeading ? [x, y] : toImage(0, -along / 2), nose];
  add(svg, "polygon", { points: corners.join(" ") });
  add(svg, "polyline", { points: line.join(" ") });
  if (hasHeading) add(svg, "circle", { cx: nose[0], cy: nose[1], r: 0.012 * Math.max(width, height) });
}

function add(svg, name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  svg.append(element);
}

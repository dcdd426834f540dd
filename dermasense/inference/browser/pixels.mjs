// From a decoded picture to the network's input, by the steps that model.json says. Bit for bit what
// Python makes of the same pixels.

const FILTERS = {
  lanczos: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0),
  hamming: (x) => (Math.abs(x) < 1 ? sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x)) : 0),
  bilinear: (x) => Math.max(0, 1 - Math.abs(x)),
  box: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0),
  bicubic(signed) {
    const x = Math.abs(signed), a = -0.5;
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
  },
};
const ONE = 2 ** 22;
const BLANK = 8; // range of every channel, of 255, as `dermasense.inference.model` has it

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

const byName = (model, name) => model.preprocessing.steps.find((step) => step.step === name);

/** A sentence that says why this page cannot prepare pictures for a model; null where it can. */
export function cannot(model) {
  const known = ["decode", "upright", "rgb", "source", "resize", "layout"];
  const other = model.preprocessing.steps.find((step) => !known.includes(step.step));
  if (other) return `This page does not know the step “${other.step}” that the model asks for.`;
  const filter = byName(model, "resize").filter;
  return filter === "nearest" || filter in FILTERS ? null : `This page does not know the filter “${filter}”.`;
}

// For each of n outputs along an axis: the first source and the weights of it and those after it.
function taps(size, start, length, n, step) {
  const scale = length / n;
  if (step.filter === "nearest") {
    let x = start + scale / 2; // added up, as Pillow does: a product would round otherwise
    return Array.from({ length: n }, (_, i) => ({ first: Math.floor(i ? (x += scale) : x), weights: [ONE] }));
  }
  return Array.from({ length: n }, (_, i) => {
    const s = Math.max(scale, 1), reach = step.half_width * s, center = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(center - reach + 0.5));
    const end = Math.min(size, Math.floor(center + reach + 0.5));
    const plain = Array.from({ length: end - first }, (_, j) => FILTERS[step.filter]((first + j - center + 0.5) / s));
    const sum = plain.reduce((a, b) => a + b, 0);
    return { first, weights: plain.map((w) => Math.sign(w) * Math.floor((Math.abs(w) / sum) * ONE + 0.5)) };
  });
}

// One pass over the rows of (height, width, 3), which it gives back transposed: (n, height, 3).
function pass({ data, width, height }, along) {
  const out = new Uint8ClampedArray(along.length * height * 3);
  for (let y = 0; y < height; y++)
    along.forEach(({ first, weights }, i) => {
      for (let c = 0; c < 3; c++) {
        let sum = ONE / 2;
        for (let j = 0; j < weights.length; j++) sum += weights[j] * data[(y * width + first + j) * 3 + c];
        out[(i * height + y) * 3 + c] = Math.floor(sum / ONE);
      }
    });
  return { data: out, width: height, height: along.length };
}

function transposed({ data, width, height }) {
  const out = new Uint8ClampedArray(data.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) out[(x * height + y) * 3 + c] = data[(y * width + x) * 3 + c];
  return { data: out, width: height, height: width };
}

/** Whether an input (3, side, side) is (nearly) one colour: the spread of every channel, each fourth pixel seen. */
export function blank(planes, side) {
  for (let c = 0; c < 3; c++) {
    let least = 255, most = 0;
    for (let y = 0; y < side; y += 4)
      for (let x = 0; x < side; x += 4) {
        const value = planes[(c * side + y) * side + x];
        least = Math.min(least, value);
        most = Math.max(most, value);
      }
    if (most - least > BLANK) return false;
  }
  return true;
}

/**
 * The input of the network for one picture.
 *
 * @param {{data: Uint8ClampedArray, width: number, height: number}} rgb upright, 3 bytes a pixel
 * @param {object} model what model.json holds
 * @returns {Uint8Array} of shape (3, side, side)
 */
export function input(rgb, model) {
  const step = byName(model, "resize"), n = step.width;
  const { width, height } = rgb;
  const square = byName(model, "source").part !== "the whole picture";
  const side = Math.min(width, height);
  const across = square ? [(width - side) / 2, side] : [0, width];
  const down = square ? [(height - side) / 2, side] : [0, height];
  const stays = (start, length, size) => start === 0 && length === size && size === n;
  const horizontal = (picture) =>
    stays(...across, width) ? transposed(picture) : pass(picture, taps(width, ...across, n, step));
  const vertical = (picture) =>
    stays(...down, height) ? transposed(picture) : pass(picture, taps(height, ...down, n, step));
  const heightFirst = n < height && height - n > 2 * (width - n);
  const { data } = heightFirst
    ? transposed(horizontal(vertical(transposed(rgb))))
    : vertical(horizontal(rgb));
  const planes = new Uint8Array(3 * n * n);
  for (let p = 0; p < n * n; p++) for (let c = 0; c < 3; c++) planes[c * n * n + p] = data[p * 3 + c];
  return planes;
}

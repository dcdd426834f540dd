// Is a picture unlike those of training? What `dermasense.inference.novelty` says, by ood.safetensors.

const NUMBERS = { F32: Float32Array, F64: Float64Array };

/**
 * @param {ArrayBuffer} stored ood.safetensors
 * @returns {{mean: number[], directions: number[][], limit: number}} D means, k directions of D numbers
 */
export function detector(stored) {
  const all = new Uint8Array(stored);
  const start = 8 + Number(new DataView(all.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(all.slice(8, start)));
  const tensor = (name) => {
    const { dtype, data_offsets: [from, to] } = header[name];
    return [...new NUMBERS[dtype](all.slice(start + from, start + to).buffer)];
  };
  const mean = tensor("mean"), flat = tensor("directions"), width = mean.length;
  const rows = Array.from({ length: flat.length / width }, (_, k) => flat.slice(k * width, (k + 1) * width));
  return { mean, directions: rows, limit: tensor("limit")[0] };
}

/** Residual outside the directions over the limit: above 1 a picture is unlike those of training. */
export function distance(embedding, { mean, directions, limit }) {
  const away = mean.map((m, i) => embedding[i] - m), left = [...away];
  for (const direction of directions) {
    const along = direction.reduce((sum, d, i) => sum + d * away[i], 0);
    direction.forEach((d, i) => (left[i] -= along * d));
  }
  return Math.hypot(...left) / limit;
}

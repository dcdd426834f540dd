// From logits to an answer: calibration and decisions as model.json holds them.

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((z) => Math.exp(z - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / sum);
}

function calibrated(logits, model) {
  const how = model.calibration ?? { name: "temperature", value: model.temperature ?? 1 };
  if (how.name === "temperature") return logits.map((z) => z / how.value);
  if (how.name === "vector")
    return logits.map((z, i) => {
      const { slope, offset } = how.classes[model.class_names[i]];
      return z * slope + offset;
    });
  throw new Error(`This page does not know the calibration “${how.name}”; its probabilities would not be the model’s.`);
}

/**
 * @param {number[]} logits of the graph
 * @param {object} model what model.json holds
 * @returns {{class: string, confidence: number, probabilities: object, prediction_set: string[]|null, decision: string}}
 *   the set where it is a LAC one (null else); decision: answer, refer or "no rule".
 */
export function answer(logits, model) {
  const found = softmax(calibrated([...logits], model));
  const names = model.class_names, confidence = Math.max(...found);
  const { set, refer } = model.decision ?? {};
  const order = [...names.keys()].sort((a, b) => found[b] - found[a]);
  const inside = (i) => 1 - found[i] <= set.threshold + 1e-8;
  const members = set?.name === "lac" ? order.filter(inside).map((i) => names[i]) : null;
  const rule = refer?.name === "referral" ? (confidence < refer.threshold ? "refer" : "answer") : "no rule";
  return {
    class: names[found.indexOf(confidence)],
    confidence,
    probabilities: Object.fromEntries(names.map((name, i) => [name, found[i]])),
    prediction_set: members,
    decision: rule,
  };
}

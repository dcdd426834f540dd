// From logits to an answer: calibration and decisions as model.json holds them.

const DECISIONS = { set: "lac", refer: "referral", alarm: "risk_control" };

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
  throw new Error(unfit(model));
}

/** What keeps this page from answering as the model would: a sentence, or null. */
export function unfit(model) {
  const name = model.calibration?.name ?? "temperature";
  if (!["temperature", "vector"].includes(name)) return `This page does not know the model’s calibration “${name}”.`;
  for (const [kind, entry] of Object.entries(model.decision ?? {}))
    if (!(kind in DECISIONS) || entry?.name !== DECISIONS[kind]) return `This page does not know the model’s decision “${entry?.name ?? kind}”.`;
  return null;
}

/**
 * @param {number[]} logits of the graph
 * @param {object} model what model.json holds
 * @returns {{class: string, confidence: number, probabilities: object, prediction_set: string[]|null, decision: string, alarm: boolean}}
 *   decision: answer, refer or "no rule"; alarm: classes that must not be missed may be there.
 */
export function answer(logits, model) {
  const found = softmax(calibrated([...logits], model));
  const names = model.class_names, confidence = Math.max(...found);
  const { set, refer, alarm } = model.decision ?? {};
  const order = [...names.keys()].sort((a, b) => found[b] - found[a]);
  const inside = (i) => 1 - found[i] <= set.threshold + 1e-8;
  const members = set ? order.filter(inside).map((i) => names[i]) : null;
  const danger = (alarm?.classes ?? []).reduce((sum, name) => sum + found[names.indexOf(name)], 0);
  const alarmed = alarm !== undefined && danger >= alarm.threshold;
  const rule = refer ? (confidence < refer.threshold ? "refer" : "answer") : "no rule";
  return {
    class: names[found.indexOf(confidence)],
    confidence,
    probabilities: Object.fromEntries(names.map((name, i) => [name, found[i]])),
    prediction_set: members,
    decision: alarmed ? "refer" : rule,
    alarm: alarmed,
  };
}

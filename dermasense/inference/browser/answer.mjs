// From logits to an answer: calibration and decisions as model.json holds them.

const DETECTOR = "residual";
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
  if ((model.ood?.method ?? DETECTOR) !== DETECTOR) return `This page does not know the model’s detector “${model.ood.method}”.`;
  return null;
}

/** Where the model averages several views of a picture and this page has one: a sentence, else "". */
export function oneView(model) {
  const views = model.tta?.views ?? "none";
  if (["none", "as_is"].includes(views)) return "";
  return `The model averages several views (${views}); this page sees one, for which its probabilities and rules were not fitted.`;
}

function warned({ blank, distance }, alarmed) {
  const said = [];
  if (blank) said.push("the picture is (nearly) one colour: there is nothing to judge");
  if (distance > 1)
    said.push(`the picture is unlike those the model was trained on (distance ${distance.toFixed(2)}, limit 1): the answer means little`);
  if (alarmed) said.push("a class that must not be missed cannot be ruled out");
  return said;
}

/**
 * @param {number[]} logits of the graph
 * @param {object} model what model.json holds
 * @param {{blank: boolean, distance: number|null}} seen of the picture: of `blank`, and of `distance` where the model has a detector
 * @returns {{class: string, confidence: number, probabilities: object, prediction_set: string[]|null, decision: string, alarm: boolean, warnings: string[]}}
 *   decision: answer, refer or "no rule"; alarm: classes that must not be missed may be there; warnings: as Python words them.
 */
export function answer(logits, model, seen) {
  const found = softmax(calibrated([...logits], model));
  const names = model.class_names, confidence = Math.max(...found);
  const { set, refer, alarm } = model.decision ?? {};
  const order = [...names.keys()].sort((a, b) => found[b] - found[a]);
  const inside = (i) => 1 - found[i] <= set.threshold + 1e-8;
  const members = set ? order.filter(inside).map((i) => names[i]) : null;
  const danger = (alarm?.classes ?? []).reduce((sum, name) => sum + found[names.indexOf(name)], 0);
  const alarmed = alarm !== undefined && danger >= alarm.threshold;
  const warnings = warned(seen, alarmed);
  const rule = refer ? (confidence < refer.threshold ? "refer" : "answer") : "no rule";
  return {
    class: names[found.indexOf(confidence)],
    confidence,
    probabilities: Object.fromEntries(names.map((name, i) => [name, found[i]])),
    prediction_set: members,
    decision: warnings.length ? "refer" : rule,
    alarm: alarmed,
    warnings,
  };
}

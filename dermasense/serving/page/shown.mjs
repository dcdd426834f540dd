// How an answer is shown: on the server's page and on the page that answers in the browser.
export const find = (id) => document.getElementById(id);
export const percent = (value) => (100 * value).toFixed(1) + " %";

const DECISIONS = {
  refer: "The model is not sure enough to answer: a person should look at this picture.",
  answer: "The model’s own rule lets this answer stand. It is still no diagnosis.",
  "no rule": "This model has no rule for when not to answer.",
};

export function say(text, bad = false) {
  find("status").textContent = text;
  find("status").classList.toggle("bad", bad);
}

function row(name, probability, inset) {
  const tr = document.createElement("tr");
  if (inset) tr.className = "inset";
  const th = document.createElement("th");
  th.scope = "row";
  th.textContent = name;
  const number = document.createElement("td");
  number.className = "number";
  number.textContent = percent(probability);
  const bar = document.createElement("td");
  const meter = document.createElement("meter");
  meter.min = 0;
  meter.max = 1;
  meter.value = probability;
  meter.setAttribute("aria-hidden", "true");
  bar.append(meter);
  tr.append(th, number, bar);
  return tr;
}

/**
 * @param {{class: string, confidence: number, probabilities: object, decision: string, warnings: string[]}} found
 * @returns {{answer: string, decision: string}} what stands above the table; after a decision with warnings these follow.
 */
export function headings(found) {
  const first = found.confidence === Math.max(...Object.values(found.probabilities));
  return {
    answer: `${first ? "Most probable" : "Answer by the model’s rule"}: ${found.class} (${percent(found.confidence)})`,
    decision: found.warnings.length ? "A person should look at this picture, because:" : DECISIONS[found.decision],
  };
}

export function show(found) {
  const { answer, decision } = headings(found);
  find("answer").textContent = answer;
  find("decision").textContent = decision;
  find("warnings").replaceChildren(
    ...found.warnings.map((warning) => {
      const li = document.createElement("li");
      li.textContent = warning;
      return li;
    }),
  );
  find("warnings").hidden = found.warnings.length === 0;
  const sorted = Object.entries(found.probabilities).sort((a, b) => b[1] - a[1]);
  const set = found.prediction_set;
  find("rows").replaceChildren(...sorted.map(([name, p]) => row(name, p, set?.includes(name))));
  find("set").textContent =
    set === null ? "" : "Cannot be ruled out at the model’s level (bold): " + (set.join(", ") || "no class") + ".";
  find("result").hidden = false;
  find("answer").focus();
}

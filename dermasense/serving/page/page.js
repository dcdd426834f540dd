"use strict";

const find = (id) => document.getElementById(id);
const percent = (value) => (100 * value).toFixed(1) + " %";

function say(text, bad = false) {
  find("status").textContent = text;
  find("status").classList.toggle("bad", bad);
}

function headers() {
  const key = find("key").value;
  return key ? { "X-API-Key": key } : {};
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

const DECISIONS = {
  refer: "The model is not sure enough to answer: a person should look at this picture.",
  answer: "The model’s own rule lets this answer stand. It is still no diagnosis.",
  "no rule": "This model has no rule for when not to answer.",
};

function show(found) {
  find("answer").textContent = `Most probable: ${found.class} (${percent(found.confidence)})`;
  find("decision").textContent = DECISIONS[found.decision];
  find("warnings").replaceChildren(
    ...found.warnings.map((words) => {
      const li = document.createElement("li");
      li.textContent = words;
      return li;
    }),
  );
  find("warnings").hidden = found.warnings.length === 0;
  const set = found.prediction_set;
  const sorted = Object.entries(found.probabilities).sort((a, b) => b[1] - a[1]);
  find("rows").replaceChildren(...sorted.map(([name, p]) => row(name, p, set?.includes(name))));
  find("set").textContent =
    set === null
      ? ""
      : "Cannot be ruled out at the model’s level (bold): " + (set.join(", ") || "no class") + ".";
  find("result").hidden = false;
  find("answer").focus();
}

let sent = null; // the picture that is shown

function forget(file) {
  sent = file;
  find("looked").hidden = true;
  find("heat").removeAttribute("src");
  find("looknote").textContent = "";
  find("look").disabled = find("look").hidden = false;
}

async function look() {
  const file = sent;
  const note = (text, bad = false) => {
    if (file !== sent) return; // another picture was sent meanwhile
    find("looknote").textContent = text;
    find("looknote").classList.toggle("bad", bad);
  };
  const body = new FormData();
  body.append("files", file);
  find("look").disabled = true;
  note("Looking …");
  try {
    const answer = await fetch("/v1/explain?format=json", { method: "POST", body, headers: headers() });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error.message);
    if (file !== sent) return;
    find("heat").src = "data:image/png;base64," + found.overlay;
    find("heat").alt = "Heat map over the picture. " + found.says;
    note(found.says);
    find("looked").hidden = false;
    find("looked").focus();
    find("look").hidden = true;
  } catch (error) {
    note(error.message || "The server did not answer.", true);
    if (file === sent) find("look").disabled = false;
  }
}

async function send(file) {
  find("result").hidden = true;
  forget(file);
  say(`Sending ${file.name} …`);
  URL.revokeObjectURL(find("preview").src);
  find("preview").src = URL.createObjectURL(file);
  const body = new FormData();
  body.append("files", file);
  try {
    const answer = await fetch("/v1/predict", { method: "POST", body, headers: headers() });
    const found = await answer.json();
    if (answer.status === 401) find("keybox").open = true;
    if (!answer.ok) throw new Error(found.error.message);
    if (file !== sent) return; // another picture was sent meanwhile
    say("Answered. " + found.disclaimer);
    show(found.predictions[0]);
  } catch (error) {
    if (file === sent) say(error.message || "The server did not answer.", true);
  }
}

find("look").addEventListener("click", look);
find("file").addEventListener("change", (event) => {
  if (event.target.files.length) send(event.target.files[0]);
});
for (const kind of ["dragover", "dragenter"])
  find("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    find("drop").classList.add("over");
  });
find("drop").addEventListener("dragleave", () => find("drop").classList.remove("over"));
find("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
});
find("form").addEventListener("submit", (event) => event.preventDefault());

fetch("/v1/model")
  .then((answer) => (answer.ok ? answer.json() : null))
  .then((model) => {
    if (!model) return;
    const from = model.training_data ? `, trained on ${model.training_data}` : "";
    const licence = model.licence ? ` (${model.licence})` : "";
    find("about").textContent = `${model.name}: ${model.classes.length} classes${from}${licence}. ${model.note ? model.note + " " : ""}${model.disclaimer}`;
  });

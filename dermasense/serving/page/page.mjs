import { find, say, show } from "./shown.mjs";

function headers() {
  const key = find("key").value;
  return key ? { "X-API-Key": key } : {};
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

// The page: a picture is decoded, prepared and judged in this browser; it is sent nowhere.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { answer, unfit } from "./answer.mjs";
import { cannot, input } from "./pixels.mjs";

const find = (id) => document.getElementById(id);
const percent = (value) => (100 * value).toFixed(1) + " %";
const DECISIONS = {
  refer: "The model is not sure enough to answer: a person should look at this picture.",
  answer: "The model’s own rule lets this answer stand. It is still no diagnosis.",
  "no rule": "This model has no rule for when not to answer.",
};

function say(text, bad = false) {
  find("status").textContent = text;
  find("status").classList.toggle("bad", bad);
}

async function opened() {
  ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send
  const got = await Promise.all(["model.json", "model.onnx"].map((name) => fetch(name)));
  if (got.some((each) => !each.ok)) throw new Error("model.json and model.onnx do not lie beside this page.");
  const model = await got[0].json();
  const reason = cannot(model) ?? unfit(model);
  if (reason) throw new Error(reason);
  const session = await ort.InferenceSession.create(await got[1].arrayBuffer(), { executionProviders: ["wasm"] });
  const from = model.training_data ? `, trained on ${model.training_data}` : "";
  const licence = model.licence ? ` (${model.licence})` : "";
  find("about").textContent = `${model.class_names.length} classes${from}${licence}. ${model.note ?? ""}`;
  return { model, session };
}

async function decoded(file, most) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  if (width * height > most) throw new Error(`The picture has more than ${most.toLocaleString("en")} pixels.`);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white"; // transparent parts lie on it
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8ClampedArray(width * height * 3);
  for (let p = 0; p < width * height; p++) for (let c = 0; c < 3; c++) data[p * 3 + c] = rgba[p * 4 + c];
  return { data, width, height };
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
  tr.append(th, number);
  return tr;
}

function show(found, model) {
  find("answer").textContent = `Most probable: ${found.class} (${percent(found.confidence)})`;
  const alarm = found.alarm ? ` It must not be missed and may be there: ${model.decision.alarm.classes.join(", ")}.` : "";
  find("decision").textContent = DECISIONS[found.decision] + alarm;
  const sorted = Object.entries(found.probabilities).sort((a, b) => b[1] - a[1]);
  const set = found.prediction_set;
  find("rows").replaceChildren(...sorted.map(([name, p]) => row(name, p, set?.includes(name))));
  find("set").textContent =
    set === null ? "" : "Cannot be ruled out at the model’s level (bold): " + (set.join(", ") || "no class") + ".";
  find("result").hidden = false;
  find("answer").focus();
}

const ready = opened();
ready.then(() => say("Ready.")).catch((error) => say(error.message, true));

let latest = null; // the picture that is shown

async function judge(file) {
  latest = file;
  find("result").hidden = true;
  say("Looking …");
  URL.revokeObjectURL(find("preview").src);
  find("preview").src = URL.createObjectURL(file);
  try {
    const { model, session } = await ready;
    const rgb = await decoded(file, model.input.max_pixels).catch((error) => {
      throw error.message.startsWith("The picture") ? error : new Error("This file is no picture that the browser can read.");
    });
    const side = model.input.image_size;
    const images = new ort.Tensor("uint8", input(rgb, model), [1, 3, side, side]);
    const { logits } = await session.run({ [model.graph_input.name]: images });
    if (file !== latest) return; // another picture was chosen meanwhile
    show(answer(logits.data, model), model);
    say("Answered, in this browser. Research software, not a medical device.");
  } catch (error) {
    if (file === latest) say(error.message, true);
  }
}

find("file").addEventListener("change", (event) => {
  if (event.target.files.length) judge(event.target.files[0]);
});
for (const kind of ["dragover", "drop"])
  find("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    if (kind === "drop" && event.dataTransfer.files.length) judge(event.dataTransfer.files[0]);
  });

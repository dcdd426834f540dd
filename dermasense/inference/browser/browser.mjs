// The page: a picture is decoded, prepared and judged in this browser; it is sent nowhere.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { answer, oneView, unfit } from "./answer.mjs";
import { detector, distance } from "./novelty.mjs";
import { blank, cannot, input } from "./pixels.mjs";
import { find, say, show } from "./shown.mjs";

async function fetched(name) {
  const got = await fetch(name);
  if (!got.ok) throw new Error(`${name} does not lie beside this page.`);
  return got;
}

async function opened() {
  ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send
  const model = await (await fetched("model.json")).json();
  const reason = cannot(model) ?? unfit(model);
  if (reason) throw new Error(reason);
  const graph = await (await fetched("model.onnx")).arrayBuffer();
  const known = model.ood ? detector(await (await fetched(model.ood.file)).arrayBuffer()) : null;
  const session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
  const from = model.training_data ? `, trained on ${model.training_data}` : "";
  const licence = model.licence ? ` (${model.licence})` : "";
  find("about").textContent = `${model.class_names.length} classes${from}${licence}. ${model.note ?? ""}`;
  return { model, session, known };
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

const alarm = (found, model) =>
  found.alarm ? `What must not be missed may be there: ${model.decision.alarm.classes.join(", ")}.` : "";

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
    const { model, session, known } = await ready;
    const rgb = await decoded(file, model.input.max_pixels).catch((error) => {
      throw error.message.startsWith("The picture") ? error : new Error("This file is no picture that the browser can read.");
    });
    const side = model.input.image_size;
    const planes = input(rgb, model);
    const images = new ort.Tensor("uint8", planes, [1, 3, side, side]);
    const { logits, embedding } = await session.run({ [model.graph_input.name]: images });
    if (file !== latest) return; // another picture was chosen meanwhile
    const seen = { blank: blank(planes, side), distance: known && distance(embedding.data, known) };
    const found = answer(logits.data, model, seen);
    show(found);
    const said = ["Answered, in this browser.", alarm(found, model), oneView(model), "Research software, not a medical device."];
    say(said.filter(Boolean).join(" "));
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

"""The script of the page to drop photos on.

Texts reach the page through textContent alone, so names of files and classes are
never read as HTML.
"""

SCRIPT = """
"use strict";
const at = (id) => document.getElementById(id);
const drop = at("drop"), files = at("files"), shown = at("shown"), told = at("told");
const drawsMaps = document.querySelector("main").dataset.maps === "yes";

function make(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

async function ask(path, file) {
  const body = new FormData();
  body.append("file", file, file.name || "photo");
  const began = performance.now();
  const answer = await fetch(path, {method: "POST", body});
  return {answer, milliseconds: performance.now() - began};
}

async function reason(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return "the server answered with status " + answer.status;
  }
}

function list(predictions, parent) {
  const rows = make("ol", "", parent);
  for (const one of predictions) {
    const row = make("li", "", rows);
    make("span", one.name, row);
    make("span", (100 * one.probability).toFixed(1) + "%", row);
    const meter = make("meter", "", row);
    meter.value = one.probability;
    meter.setAttribute("aria-hidden", "true");
  }
}

function fail(words, parent) {
  make("p", words, parent).className = "failed";
}

function addMap(file, image, left) {
  const button = make("button", "Show where", left);
  const photo = image.src;
  let map = null;
  button.setAttribute("aria-pressed", "false");
  button.onclick = async () => {
    const shows = button.getAttribute("aria-pressed") === "true";
    if (!map) {
      button.disabled = true;
      const {answer} = await ask("/v1/cam", file);
      button.disabled = false;
      if (!answer.ok) return fail(await reason(answer), left);
      map = URL.createObjectURL(await answer.blob());
    }
    image.src = shows ? photo : map;
    image.alt = (shows ? "photo " : "class activation map of ") + file.name;
    button.textContent = shows ? "Show where" : "Show the photo";
    button.setAttribute("aria-pressed", String(!shows));
    button.focus();
  };
}

async function predict(file, left, right, image) {
  const {answer, milliseconds} = await ask("/v1/predict", file);
  if (!answer.ok) return fail(await reason(answer), right);
  const found = await answer.json();
  list(found.results[0].predictions, right);
  const timing = milliseconds.toFixed(0) + " ms, of which the server took " +
    found.milliseconds.toFixed(0) + " ms";
  make("p", timing, right).className = "quiet small";
  if (drawsMaps) addMap(file, image, left);
  const best = found.results[0].predictions[0];
  told.textContent = file.name + ": " + best.name + ", " +
    (100 * best.probability).toFixed(1) + "%";
}

async function show(file) {
  const item = document.createElement("li");
  const left = make("div", "", item), right = make("div", "", item);
  const image = make("img", "", left);
  image.alt = "photo " + file.name;
  image.src = URL.createObjectURL(file);
  make("h2", file.name, right);
  shown.prepend(item);
  try {
    await predict(file, left, right, image);
  } catch (error) {
    fail("the server cannot be reached (" + error.message + ")", right);
  }
  item.setAttribute("data-done", "");
}

async function showAll(chosen) {
  told.textContent = chosen.length + (chosen.length === 1 ? " photo" : " photos");
  for (const file of chosen) await show(file);
}

files.onchange = async () => {
  const chosen = [...files.files];
  files.value = "";
  await showAll(chosen);
};
drop.ondragover = (event) => {
  event.preventDefault();
  drop.classList.add("over-it");
};
drop.ondragleave = () => drop.classList.remove("over-it");
document.body.ondragover = (event) => event.preventDefault();
document.body.ondrop = async (event) => {
  event.preventDefault();
  drop.classList.remove("over-it");
  await showAll([...event.dataTransfer.files]);
};
document.onpaste = async (event) => showAll([...event.clipboardData.files]);
"""

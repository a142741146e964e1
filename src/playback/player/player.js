"use strict";
// Plays one recording in BigBlueButton's presentation format. Content of its files is shown as text, never as
// markup, and may only refer to files of the same recording.

const id = location.pathname.split("/").filter(Boolean).pop();
const base = new URL(`/presentation/${encodeURIComponent(id)}/`, location.href);
const at = (name) => document.getElementById(name);

async function xml(name) {
  const response = await fetch(new URL(name, base));
  if (!response.ok) return null;
  const parsed = new DOMParser().parseFromString(await response.text(), "application/xml");
  return parsed.querySelector("parsererror") ? null : parsed;
}

// The URL of a file of this recording, or null.
function ownFileUrl(reference) {
  try {
    const url = new URL(reference, base);
    return url.origin === base.origin && url.pathname.startsWith(base.pathname) ? url.href : null;
  } catch {
    return null;
  }
}

// The first of these files that exists.
async function firstExisting(names) {
  for (const name of names) {
    const url = new URL(name, base);
    const response = await fetch(url, { method: "HEAD" });
    if (response.ok) return url.href;
  }
  return null;
}

// <image in="0.0 30.5" out="12.5 40" xlink:href="…">: a slide may be shown several times.
function slides(shapes) {
  const found = [];
  for (const image of shapes ? shapes.querySelectorAll("image[in]") : []) {
    const url = ownFileUrl(image.getAttributeNS("http://www.w3.org/1999/xlink", "href") || image.getAttribute("href") || "");
    const numbers = (name) => (image.getAttribute(name) || "").trim().split(/\s+/).map(Number);
    const [begins, ends] = [numbers("in"), numbers("out")];
    if (url) begins.forEach((begin, n) => found.push({ url, begin, end: ends[n], text: image.getAttribute("text") }));
  }
  return found;
}

function chat(events) {
  for (const line of events ? events.querySelectorAll("chattimeline") : []) {
    const item = document.createElement("li");
    const name = document.createElement("b");
    name.textContent = line.getAttribute("name") || "";
    item.append(name, (line.getAttribute("message") || "").replace(/<[^>]*>/g, ""));
    item.dataset.at = line.getAttribute("in") || "0";
    item.hidden = true;
    at("chat").append(item);
  }
}

async function start() {
  const metadata = await xml("metadata.xml");
  if (!metadata) {
    at("state").textContent = "Recording Not Found";
    return;
  }
  const named = metadata.querySelector("meta > meetingName") || metadata.querySelector("meeting");
  const name = (named && (named.textContent || named.getAttribute("name"))) || id;
  document.title = name;
  at("name").textContent = name;
  const [shapes, events, film] = await Promise.all([
    xml("shapes.svg"),
    xml("slides_new.xml"),
    firstExisting(["video/webcams.webm", "video/webcams.mp4", "deskshare/deskshare.webm", "deskshare/deskshare.mp4"]),
  ]);
  const shown = slides(shapes);
  chat(events);
  const show = () => {
    const now = at("film").currentTime;
    const slide = shown.find(({ begin, end }) => begin <= now && now < end);
    at("slide").hidden = !slide;
    if (slide && at("slide").src !== slide.url) at("slide").src = slide.url;
    for (const line of at("chat").children) line.hidden = Number(line.dataset.at) > now;
  };
  for (const event of ["timeupdate", "seeked", "loadedmetadata"]) at("film").addEventListener(event, show);
  if (film) at("film").src = film;
  document.querySelector("main").hidden = false;
  at("state").textContent = film ? "" : "This recording has no film.";
  show();
}

start().catch(() => {
  at("state").textContent = "The recording could not be loaded.";
});
